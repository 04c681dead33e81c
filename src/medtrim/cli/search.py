"""`medtrim index | search`: find similar studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medtrim.cli import devices
from medtrim.cli.console import lock_outputs, out, printable, progress_bar, quiet_loading, report_rejects, say, warn
from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from medtrim.evaluation.agreement import FindingMark
    from medtrim.search.searcher import SearchResult

COLOURS = {"agrees": "green", "conflicts": "bold red", "extra": "dim", "neutral": "default"}


def register(app: typer.Typer) -> None:
    """Add `medtrim index` and `medtrim search`."""
    app.command("index")(index)
    app.command("search")(search)


def index(
    context: typer.Context,
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    studies: Annotated[Path, typer.Argument(help="Studies table, or anything `medtrim data import` reads.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the index.")],
    annotations: Annotated[
        Path | None, typer.Option(help="Annotations table; without it the reports are read now.")
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that relative image paths start from; the table's by default.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only studies of this split.")] = None,
    thumbnail: Annotated[
        int, typer.Option(min=0, help="Side of the stored pictures in pixels; 0 stores none.")
    ] = 256,
    copy_model: Annotated[bool, typer.Option(help="Copy the model into the index.")] = True,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
    strict: Annotated[bool, typer.Option(help="Exit with an error if anything was rejected.")] = False,
) -> None:
    """Embed studies with a trained model and make them searchable."""
    from medtrim.types.outputs import check_output_folder

    check_output_folder(output)
    lock_outputs(context, output)
    from medtrim.data import read_corpus, select_split
    from medtrim.entities import annotate_corpus, split_sections
    from medtrim.search.index import build_index
    from medtrim.types import Provenance
    from medtrim.types.tables import read_annotations, rejects_to_table, write_table

    place = devices.choose_device(device)
    quiet_loading()
    reading = read_corpus(studies, split_sections=split_sections, patients="optional")
    chosen = select_split(reading.studies, split) if split else list(reading.studies)
    if annotations is not None:
        found = read_annotations(annotations)
    else:
        with progress_bar("reading reports") as progress:
            found = list(annotate_corpus(chosen, progress=progress))
    root = image_root or (studies if studies.is_dir() else studies.parent)
    with progress_bar("embedding") as progress:
        build = build_index(
            checkpoint,
            chosen,
            found,
            output,
            root=root,
            thumbnail=thumbnail,
            copy_model=copy_model,
            device=place,
            progress=progress,
        )
    rejects = (*reading.rejects, *build.rejects)
    listed = output / "rejects.parquet"
    if rejects:
        write_table(rejects_to_table(rejects), listed, Provenance("rejects"))
    say(f"{build.studies} studies → {output}")
    report_rejects(len(rejects), str(listed), strict=strict)


def search(
    index: Annotated[Path, typer.Argument(help="Folder of an index.")],
    text: Annotated[
        str | None, typer.Option(help='Findings in words, such as "large left pleural effusion".')
    ] = None,
    image: Annotated[Path | None, typer.Option(help="An X-ray: PNG, JPEG, TIFF or DICOM.")] = None,
    study: Annotated[str | None, typer.Option(help="Id of a study of the index.")] = None,
    against: Annotated[str, typer.Option(help="Compare with the studies' image or text.")] = "image",
    using: Annotated[str, typer.Option(help="With --study: ask by its image or text.")] = "image",
    disease: Annotated[str, typer.Option(help="Only studies that report this disease.")] = "",
    side: Annotated[str, typer.Option(help="Only findings on this side: left or right.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many studies to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, reports included.")] = False,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
) -> None:
    """Find the studies most like a text, an image or a study; say what agrees and what conflicts."""
    if sum(query is not None for query in (text, image, study)) != 1:
        raise ConfigError("give exactly one of --text, --image and --study")
    for name, value in (("--against", against), ("--using", using)):
        if value not in ("image", "text"):
            raise ConfigError(f"{name} must be image or text, not {value!r}")
    from medtrim.data import load_image
    from medtrim.search import Filters
    from medtrim.search.query import Query
    from medtrim.search.searcher import Searcher
    from medtrim.search.store import StudyIndex
    from medtrim.search.wire import Answer

    quiet_loading()
    searcher = Searcher.open(StudyIndex(index), device=devices.choose_device(device))
    common: dict[str, Any] = {"against": against, "k": k, "filters": Filters(disease, side)}
    if text is not None:
        result = searcher.search(Query(text, **common))
    elif image is not None:
        result = searcher.search(Query(image=load_image(image, study_id=image.name), **common))
    else:
        result = searcher.search(Query(study_id=study or "", using=using, **common))  # type: ignore[arg-type]
    if as_json:
        out.print(json.dumps(Answer.of(result).model_dump(), ensure_ascii=False), markup=False, soft_wrap=True)
    else:
        _show(result)


def _show(result: SearchResult) -> None:
    from rich.table import Table

    if result.wanted:
        say("query: " + ", ".join(asked.words for asked in result.wanted.all))
    for notice in result.notices:
        warn(notice.text)
    table = Table("rank", "study", "similarity", "findings", "missing", box=None, pad_edge=False)
    for rank, hit in enumerate(result.hits, start=1):
        marks = ", ".join(_coloured(mark) for mark in hit.agreement.marks)
        table.add_row(
            str(rank), _safe(hit.study.study_id), f"{hit.similarity:.3f}", marks, ", ".join(hit.agreement.missing)
        )
    out.print(table if result.hits else "nothing found; loosen the filters")


def _coloured(mark: FindingMark) -> str:
    words = [f"[{COLOURS[d.relation]}]{d.text}[/]" for d in mark.descriptors]
    tail = f" ✗ {', '.join(mark.conflicts)}" if mark.conflicts else " ✓" if mark.relation == "agrees" else ""
    disease = f"[{COLOURS[mark.relation]}]{mark.disease}{tail}[/]"
    return " ".join([*(["possible"] if mark.uncertain else []), *words, disease])


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
