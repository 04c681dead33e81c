"""`medtrim index build | add | update | delete | compact | calibrate | info`: archives that can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli import devices
from medtrim.cli.console import default_command, progress_bar, quiet_loading, report_rejects, say
from medtrim.errors import ConfigError
from medtrim.types.processes import Engine

if TYPE_CHECKING:
    from medtrim.entities import Ontology
    from medtrim.search.index import IndexBuild
    from medtrim.types import Annotation, Reject, Study

REJECTS_NAME = "rejects.parquet"
ADD = "Add studies; those that are in the index already are passed over. Run again after a kill, it goes on."
UPDATE = "Add studies; those that are in the index already are written anew."

IndexFolder = Annotated[Path, typer.Argument(help="Folder of an index.")]
Studies = Annotated[Path, typer.Argument(help="Studies table, or anything `medtrim data import` reads.")]
Annotations = Annotated[Path | None, typer.Option(help="Annotations table; without it the reports are read now.")]
ImageRoot = Annotated[
    Path | None, typer.Option(help="Folder that relative image paths start from; the table's by default.")
]
Split = Annotated[str | None, typer.Option(help="Only studies of this split.")]
Device = Annotated[str, typer.Option(help=devices.HELP)]
Strict = Annotated[bool, typer.Option(help="Exit with an error if anything was rejected.")]
Who = Annotated[Engine, typer.Option("--engine", help="Who embeds: this process, or Ray Data (medtrim\\[ray]).")]
Workers = Annotated[int, typer.Option(min=1, help="Ray actors, with --engine ray.")]


def register(app: typer.Typer) -> None:
    """Add `medtrim index`."""
    group = typer.Typer(
        cls=default_command("build"),
        help="Make studies searchable: build, add, update, delete, compact, calibrate, info.",
    )
    group.command("build")(build)
    group.command("add", help=ADD)(add)
    group.command("update", help=UPDATE)(add)
    group.command("delete")(delete)
    group.command("compact")(compact)
    group.command("calibrate")(calibrate)
    group.command("info")(info)
    app.add_typer(group, name="index")


def build(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    studies: Studies,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the index.")],
    annotations: Annotations = None,
    image_root: ImageRoot = None,
    split: Split = None,
    thumbnail: Annotated[
        int, typer.Option(min=0, help="Side of the stored pictures in pixels; 0 stores none.")
    ] = 256,
    copy_model: Annotated[bool, typer.Option(help="Copy the model into the index.")] = True,
    ontology: Annotated[
        list[Path] | None, typer.Option(help="Ontology overlay that reads reports and queries; repeat for several.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Further column of the studies table to filter and show; repeatable.")
    ] = None,
    date_column: Annotated[str, typer.Option(help="Column with the study's ISO date.")] = "",
    device: Device = devices.AUTO,
    engine: Who = Engine.process,
    workers: Workers = 1,
    strict: Strict = False,
) -> None:
    """Embed studies with a trained model and make them searchable."""
    from medtrim.entities import load_ontology
    from medtrim.search.index import build_index
    from medtrim.search.store import local_folder
    from medtrim.types.outputs import check_output_folder, sole_writer, writing

    check_output_folder(local_folder(output))
    with sole_writer(output):
        pass  # another writer is refused before reports are read; building holds the lock itself
    place = devices.choose_device(device)
    quiet_loading()
    reads = load_ontology(*(ontology or ()))
    chosen, rejects = _read(studies, split)
    missing = [
        name for name in (*(column or ()), date_column) if name and not any(name in s.labels for s in chosen)
    ]
    if missing:
        raise ConfigError(f"the studies have no column {', '.join(map(repr, missing))}")
    found = _annotations(chosen, annotations, reads)
    with writing(output, RuntimeError), progress_bar("embedding") as progress:  # Lance raises RuntimeError
        made = build_index(
            checkpoint,
            chosen,
            found,
            output,
            root=image_root or _root(studies),
            thumbnail=thumbnail,
            copy_model=copy_model,
            ontology=reads,
            columns=tuple(column or ()),
            date_column=date_column,
            device=place,
            engine=engine,
            workers=workers,
            progress=progress,
        )
    say(f"{made.studies} studies → {output}")
    _tell(made, rejects, strict)


def add(
    context: typer.Context,
    index: IndexFolder,
    studies: Studies,
    annotations: Annotations = None,
    image_root: ImageRoot = None,
    split: Split = None,
    device: Device = devices.AUTO,
    engine: Who = Engine.process,
    workers: Workers = 1,
    strict: Strict = False,
) -> None:
    """`add`, and `update`, which differs in what it does with studies that are there already."""
    from medtrim.search.index import add_studies
    from medtrim.types.outputs import writing

    replace = context.info_name == "update"
    place = devices.choose_device(device)
    quiet_loading()
    chosen, found, rejects = _read_as(index, studies, annotations, split)
    with writing(index, RuntimeError), progress_bar("embedding") as progress:  # Lance raises RuntimeError
        made = add_studies(
            index,
            chosen,
            found,
            root=image_root or _root(studies),
            replace=replace,
            device=place,
            engine=engine,
            workers=workers,
            progress=progress,
        )
    what = f", {made.removed} of them anew" if replace else f", {made.present} were there already"
    say(f"{made.studies} studies → {index}{what}")
    _tell(made, rejects, strict)


def delete(
    index: IndexFolder,
    studies: Annotated[list[str] | None, typer.Argument(help="Ids of studies.")] = None,
    ids_file: Annotated[Path | None, typer.Option("--from", help="File with one study id a line.")] = None,
) -> None:
    """Take studies out of the answers; `compact` removes them from the disk."""
    from medtrim.search.index import delete_studies

    ids = list(studies or ())
    if ids_file is not None:
        try:
            ids += [line.strip() for line in ids_file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{ids_file} cannot be read ({error})") from error
    if not ids:
        raise ConfigError("name the studies, or a file with their ids (--from)")
    say(f"{delete_studies(index, ids).removed} studies deleted; `medtrim index compact` removes them from the disk")


def compact(index: IndexFolder) -> None:
    """Merge small files, refresh the approximate index, and remove deleted studies from the disk."""
    from medtrim.search.index import compact_index

    before = _size(index)
    compact_index(index)
    say(f"{before / 2**20:.1f} MiB → {_size(index) / 2**20:.1f} MiB")


def calibrate(
    index: IndexFolder,
    studies: Studies,
    annotations: Annotations = None,
    image_root: ImageRoot = None,
    split: Split = "val",
    device: Device = devices.AUTO,
) -> None:
    """Calibrate what the model reads in pictures (disease, side, severity) on studies that it never saw."""
    from medtrim.search.index import calibrate_index
    from medtrim.types import DISEASES

    place = devices.choose_device(device)
    quiet_loading()
    chosen, found, _ = _read_as(index, studies, annotations, split)
    made = calibrate_index(index, chosen, found, root=image_root or _root(studies), device=place)
    missing = [disease for disease in DISEASES if disease not in made["questions"]]
    error = "too few patients to tell" if made["error"] is None else f"{made['error']:.3f}"
    say(f"{len(made['questions'])} questions calibrated on {made['studies']} studies; expected error {error}")
    say(f"not validated: {', '.join(missing) or 'nothing'}")


def info(index: IndexFolder) -> None:
    """Say what is in an index: studies, model, ontology, size, recall of the approximate index."""
    from medtrim.search.store import read_facts

    facts = read_facts(index)
    reports = facts["text_rows"]
    say(f"studies      {facts['studies']:,} ({facts['rows']:,} images, {reports:,} reports)")
    unread = facts["counts"]["read"].get("false", 0)
    say(f"not read     {unread:,}")
    say(f"model        {facts['model']} ({facts['dimension']} dimensions, {facts['fingerprint'][:12]})")
    say(f"ontology     {facts['ontology_name']} {facts['ontology_version']}")
    say(f"columns      {', '.join(facts['columns']) or 'none'}")
    say(f"size         {_size(index) / 2**20:.1f} MiB, table version {facts['version']}")
    readout = facts.get("readout")
    say("readout      " + (f"calibrated on {readout['studies']:,} studies" if readout else "not calibrated"))
    ann = facts["ann"]
    say(
        "search       exact"
        if ann is None
        else f"search       IVF-PQ, {ann['probes']} of {ann['cells']} cells, recall@10 {ann['recall@10']:.3f}, "
        f"under a filter {ann['filtered recall@10']:.3f}"
    )


def _read_as(
    index: Path, studies: Path, annotations: Path | None, split: str | None
) -> tuple[Sequence[Study], Sequence[Annotation], tuple[Reject, ...]]:
    """Studies, what the index's own ontology reads in them, and what could not be read."""
    from medtrim.search.searcher import stored_ontology
    from medtrim.search.store import StudyIndex

    reads = stored_ontology(StudyIndex(index))
    chosen, rejects = _read(studies, split)
    return chosen, _annotations(chosen, annotations, reads), rejects


def _read(studies: Path, split: str | None) -> tuple[Sequence[Study], tuple[Reject, ...]]:
    from medtrim.data import read_corpus, select_split
    from medtrim.entities import split_sections

    reading = read_corpus(studies, split_sections=split_sections, patients="optional", empty_reports=True)
    return (select_split(reading.studies, split) if split else reading.studies), reading.rejects


def _annotations(studies: Sequence[Study], annotations: Path | None, ontology: Ontology) -> Sequence[Annotation]:
    from medtrim.entities import annotate_corpus
    from medtrim.types.tables import annotation_table, read_annotations

    if annotations is not None:
        return read_annotations(annotations)
    with progress_bar("reading reports") as progress:
        return annotation_table(annotate_corpus(studies, ontology=ontology, progress=progress))


def _root(studies: Path) -> Path:
    return studies if studies.is_dir() else studies.parent


def _tell(made: IndexBuild, rejects: tuple[Reject, ...], strict: bool) -> None:
    from medtrim.types import Provenance
    from medtrim.types.tables import rejects_to_table, write_table

    if made.ann:
        say(
            f"approximate index: recall@10 {made.ann['recall@10']:.3f}, "
            f"under a filter {made.ann['filtered recall@10']:.3f}"
        )
    listed, everything = made.folder / REJECTS_NAME, (*rejects, *made.rejects)
    if everything:
        write_table(rejects_to_table(everything), listed, Provenance("rejects"))
        listed.chmod(0o600)
    report_rejects(len(everything), str(listed), strict=strict)


def _size(index: Path) -> int:
    return sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
