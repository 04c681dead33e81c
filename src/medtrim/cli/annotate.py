"""`medtrim annotate`: findings from reports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import out, progress_bar, report_rejects

if TYPE_CHECKING:
    from medtrim.entities import Ontology
    from medtrim.types import Annotation, Provenance


def register(app: typer.Typer) -> None:
    """Add `medtrim annotate`."""
    app.command("annotate")(annotate)


def annotate(
    reports: Annotated[
        Path,
        typer.Argument(
            help="Reports: CSV, JSON lines or Parquet table; folder of .txt; Open-i XML folder or .tgz."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Annotations table to write (Parquet).")],
    ontology: Annotated[
        list[Path] | None, typer.Option(help="YAML laid over the default ontology; may be given several times.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any record could not be used.")] = False,
) -> None:
    """Read every report's findings: disease, assertion, adjectives, directions, with character offsets."""
    from medtrim.data import read_corpus
    from medtrim.entities import annotate_corpus, load_ontology, split_sections
    from medtrim.types import Provenance
    from medtrim.types.tables import annotations_to_table, rejects_to_table, write_table

    vocabulary = load_ontology(*(ontology or ()))
    reading = read_corpus(reports, split_sections=split_sections, patients="optional")
    with progress_bar("annotating") as progress:
        annotations = list(annotate_corpus(reading.studies, ontology=vocabulary, progress=progress))
    write_table(annotations_to_table(annotations), output, provenance(vocabulary))
    rejects = output.with_name(f"{output.stem}.rejects.parquet")
    write_table(rejects_to_table(reading.rejects), rejects, Provenance("rejects"))
    _summary(annotations, output)
    report_rejects(len(reading.rejects), str(rejects), strict=strict)


def provenance(ontology: Ontology) -> Provenance:
    """Provenance of an annotations table: which ontology made it, and what contradicts what in it."""
    from medtrim.types import Provenance

    axes = {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()}
    return Provenance("annotations", ontology=ontology.ref, extra={"contradictions": axes})


def _summary(annotations: list[Annotation], output: Path) -> None:
    counts = Counter(f.assertion for a in annotations for f in a.findings)
    shown = ", ".join(f"{counts[name]:,} {name}" for name in ("present", "uncertain", "absent"))
    out.print(f"{len(annotations):,} reports → {output}: {shown}")
