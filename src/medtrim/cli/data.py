"""`medtrim data import | describe | cache | verify`: a corpus to a studies table, its images to a cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from medtrim.cli.console import out, pair, progress_bar, report_rejects, say, shares, warn
from medtrim.types.processes import Engine

data_app = typer.Typer(help="Bring a corpus in: studies table, image cache.", no_args_is_help=True)
# Reasons for rejects that `data import` prints; the table has them all.
SHOWN_REASONS = 10


def register(app: typer.Typer) -> None:
    """Add `medtrim data` with its commands."""
    app.add_typer(data_app, name="data")


@data_app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="A table (CSV, TSV, Excel, JSON, Parquet), a folder of .txt reports, Open-i's XML (folder or "
            ".tgz), or the root folder or table of a public archive (see --layout)."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Studies table to write (Parquet).")],
    image_root: Annotated[Path | None, typer.Option(help="Folder that relative image paths start from.")] = None,
    reports: Annotated[
        Path | None, typer.Option(help="Folder with MIMIC-CXR's reports, where they lie apart from the images.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN where a column has an unusual name; repeatable.")
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            help="auto, table, text, openi, openi-kaggle, mimic-cxr, r2gen, r2gen-mimic, chexpert, chexpert-plus, "
            "chestx-ray14, padchest, rexgradient or rexgradient-csv."
        ),
    ] = "auto",
    patients: Annotated[
        str, typer.Option(help="required; optional; or study: every study is a patient of its own.")
    ] = "required",
    view: Annotated[str, typer.Option(help="Views to keep: all (frontal ones first), frontal or lateral.")] = "all",
    split: Annotated[
        str,
        typer.Option(
            help="Shares of patients without a split, such as train=.8,test=.2; or none.",
            show_default="train 0.8, val 0.1, test 0.1",
        ),
    ] = "train=0.8,val=0.1,test=0.1",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    reports_only: Annotated[bool, typer.Option(help="Leave images out.")] = False,
    check_images: Annotated[bool, typer.Option(help="Decode every image once and reject bad ones.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")] = None,
    strict: Annotated[
        bool, typer.Option(help="Exit with an error if anything was rejected, or warned of.")
    ] = False,
) -> None:
    """Read a corpus into a studies table; what cannot be used goes to a rejects table with the reason."""
    from medtrim.data.importing import ImportOptions, import_corpus, rejects_path
    from medtrim.entities.sections import split_sections

    options = ImportOptions(
        layout=layout,
        columns=dict(pair(c, "--column FIELD=COLUMN") for c in column or ()),
        patients=patients,  # type: ignore[arg-type]
        view=view,  # type: ignore[arg-type]
        encoding=encoding,
        reports_only=reports_only,
        check=check_images,
        fractions=None if split.strip().lower() == "none" else shares(split),
        seed=seed,
    )
    with progress_bar("checking images") as progress:
        reading = import_corpus(
            source,
            output,
            split_sections=split_sections,
            image_root=image_root,
            report_root=reports,
            options=options,
            workers=workers,
            progress=progress,
        )
    count = len({s.patient_id for s in reading.studies})
    say(f"{len(reading.studies)} studies of {count} patients → {output}")
    counted = Counter(s.split or "without a split" for s in reading.studies)
    say(", ".join(f"{name}: {n}" for name, n in sorted(counted.items())))
    reasons = Counter(r.reason for r in reading.rejects).most_common()
    for reason, n in reasons[:SHOWN_REASONS]:
        warn(f"  {n} × {reason}", style="")
    if len(reasons) > SHOWN_REASONS:
        warn(f"  and {len(reasons) - SHOWN_REASONS} more reasons", style="")
    for note in reading.notes:
        warn(note, label="note:")
    for warning in reading.warnings:
        warn(warning, label="warning:")
    report_rejects(len(reading.rejects), str(rejects_path(output)), strict=strict)
    if strict and reading.warnings:
        raise typer.Exit(1)


@data_app.command("describe")
def describe(
    studies: Annotated[Path, typer.Argument(help="Studies table, or anything `medtrim data import` reads.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Page with plots to write (HTML).")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotations table: count its findings.")] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that relative image paths start from; the table's by default.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Read the image files: which are missing, which repeat.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; all cores by default.")] = None,
) -> None:
    """Say what is in a corpus: counts, views, missing and repeated images and reports, findings, labels."""
    from rich.table import Table

    from medtrim.data import read_corpus
    from medtrim.data.describe import describe as run
    from medtrim.data.describe import write_description
    from medtrim.entities.sections import split_sections
    from medtrim.types.outputs import check_output
    from medtrim.types.tables import read_annotations

    if output is not None:
        check_output(output, studies, annotations)
    reading = read_corpus(studies, split_sections=split_sections, patients="optional")
    root = image_root or (studies if studies.is_dir() else studies.parent)
    with progress_bar("reading images") as progress:
        found = run(
            reading.studies,
            root=root if images else None,
            annotations=read_annotations(annotations) if annotations is not None else (),
            workers=workers,
            progress=progress,
        )
    table = Table(show_header=False, box=None)
    for section in found.sections:
        table.add_row(Text(section.title, "bold"))
        for row in section.rows:
            count = f"{row.count:,}" if isinstance(row.count, int) else row.count
            table.add_row(Text(f"  {row.name}"), count, f"{row.share:.1%}" if row.share is not None else "")
    out.print(table)
    for section in found.sections:
        if section.caution:
            warn(section.caution, label="caution:")
    for warning in (*reading.notes, *reading.warnings):
        warn(warning, label="note:")
    if reading.rejects:
        warn(f"{len(reading.rejects)} record(s) cannot be used; `medtrim data import` lists them")
    if output is not None:
        write_description(found, output, name=studies.name)
        say(f"page → {output}")


@data_app.command("cache")
def cache(
    studies: Annotated[Path, typer.Argument(help="Studies table.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Cache folder; STUDIES.cache-SIZE by default.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of the square images, pixels.")] = 224,
    fit: Annotated[
        str,
        typer.Option(help="pad keeps the whole image, crop fills the square, lungs cuts frontal films to them."),
    ] = "pad",
    equalize: Annotated[bool, typer.Option("--equalize", help="Equalise the histogram.")] = False,
    every_image: Annotated[bool, typer.Option(help="All images of a study, not only the first.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads, or Ray actors; all cores by default.")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="This machine, or Ray Data (medtrim\\[ray]).")] = Engine.process,
    strict: Annotated[bool, typer.Option(help="Exit with an error if anything was rejected.")] = False,
) -> None:
    """Decode images once into a memory-mapped cache; run again to add studies or to go on after a break."""
    from medtrim.data.cache import ImageCache, default_cache_path
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output_folder
    from medtrim.types.tables import read_studies, rejects_to_table, write_table

    folder = output or default_cache_path(studies, size)
    check_output_folder(folder)
    with progress_bar("decoding images") as progress:
        build = ImageCache.build(
            read_studies(studies),
            root=studies.parent,
            size=size,
            path=folder,
            fit=fit,  # type: ignore[arg-type]
            equalize=equalize,
            every_image=every_image,
            workers=workers,
            engine=engine,
            progress=progress,
        )
    rejects = folder / "rejects.parquet"
    rejects.unlink(missing_ok=True)
    if build.rejects:
        write_table(
            rejects_to_table(build.rejects), rejects, Provenance("rejects", config={"size": size, "fit": fit})
        )
    say(f"{len(build.cache)} images of {size} × {size} → {folder}")
    say(f"decoded {build.decoded} ({len(build.changed)} changed at the source), reused {build.reused}")
    report_rejects(len(build.rejects), str(rejects), strict=strict)


@data_app.command("verify")
def verify(cache: Annotated[Path, typer.Argument(help="Cache folder.")]) -> None:
    """Compare every cached image with the checksum it was written with."""
    from medtrim.data.cache import ImageCache

    opened = ImageCache(cache)
    with progress_bar("verifying") as progress:
        broken = opened.broken(progress=progress)
    if broken:
        warn(", ".join(broken[:10]), label=f"{len(broken)} of {len(opened)} images are damaged:", style="red")
        raise typer.Exit(1)
    say(f"{len(opened)} images are as they were written")
