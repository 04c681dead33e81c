"""`medtrim annotate`: findings from reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import lock_outputs, progress_bar, report_rejects, say, warn

if TYPE_CHECKING:
    import pyarrow as pa

    from medtrim.entities import Ontology
    from medtrim.entities.writing import Written
    from medtrim.types import Reject


class Engine(StrEnum):
    """What runs the annotation."""

    process = "process"
    ray = "ray"


def register(app: typer.Typer) -> None:
    """Add `medtrim annotate`."""
    app.command("annotate")(annotate)


def annotate(
    context: typer.Context,
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
    workers: Annotated[int, typer.Option(min=1, help="Processes; the table is the same for any number.")] = 1,
    engine: Annotated[Engine, typer.Option(help="Local processes, or Ray Data (medtrim[ray]).")] = Engine.process,
    compare: Annotated[
        Path | None, typer.Option(help="Another annotations table: list where the two disagree, with the text.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any record could not be used.")] = False,
) -> None:
    """Read every report's findings: disease, assertion, adjectives, directions, with character offsets."""
    from medtrim.entities import load_ontology
    from medtrim.entities.writing import write_annotations
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output
    from medtrim.types.tables import rejects_to_table, write_table

    inputs = (reports, compare, *(ontology or ()))
    check_output(output, *inputs)
    rejects = output.with_name(f"{output.stem}.rejects.parquet")
    check_output(rejects, *inputs)
    if compare is not None:
        check_output(_disagreements(output), *inputs)
    lock_outputs(context, output, rejects, _disagreements(output))
    vocabulary = load_ontology(*(ontology or ()))
    batches, total, rejected = _reports(reports)
    with progress_bar("annotating") as progress:
        annotated = _run(batches, vocabulary, workers, engine)
        written = write_annotations(annotated, output, vocabulary, total=total, progress=progress)
    write_table(rejects_to_table(rejected()), rejects, Provenance("rejects"))
    _summary(written, output)
    if compare is not None:
        _compare(output, compare, reports)
    report_rejects(len(rejected()), str(rejects), strict=strict)


def _reports(path: Path) -> tuple[Iterator[pa.RecordBatch], int, Callable[[], Sequence[Reject]]]:
    """Batches of reports, how many there are, and what could not be used once the batches are drawn."""
    from medtrim.data import read_corpus
    from medtrim.entities import split_sections
    from medtrim.entities.corpus import batches_of
    from medtrim.entities.streaming import StudyStream

    if StudyStream.accepts(path):
        stream = StudyStream(path)
        return stream.batches(), stream.rows, lambda: stream.rejects
    reading = read_corpus(path, split_sections=split_sections, patients="optional")
    return batches_of(reading.studies), len(reading.studies), lambda: reading.rejects


def _run(
    batches: Iterator[pa.RecordBatch], ontology: Ontology, workers: int, engine: Engine
) -> Iterator[pa.RecordBatch]:
    from medtrim.entities import annotate_batches

    if engine is Engine.ray:
        from medtrim.entities.ray_engine import annotate_with_ray

        return annotate_with_ray(batches, ontology=ontology, workers=workers)
    return annotate_batches(batches, ontology=ontology, workers=workers)


def _summary(written: Written, output: Path) -> None:
    shown = ", ".join(f"{count:,} {name}" for name, count in written.findings.items())
    say(f"{written.reports:,} reports → {output}: {shown}")
    if written.silent:
        warn(
            f"in {written.silent:,} report(s) nothing was recognised, neither a finding nor a denial; they count "
            "as normal in the score (`medtrim ontology coverage` shows what a corpus says that is not known)",
            label="note:",
        )


def _disagreements(output: Path) -> Path:
    return output.with_name(f"{output.stem}.disagreements.parquet")


def _compare(ours: Path, theirs: Path, reports: Path) -> None:
    from medtrim.cli.compare import show_disagreements
    from medtrim.data import read_corpus
    from medtrim.entities import split_sections
    from medtrim.entities.compare import compare_annotations, comparison_to_table
    from medtrim.types import Provenance
    from medtrim.types.tables import read_annotations, write_table

    studies = {
        s.study_id: s for s in read_corpus(reports, split_sections=split_sections, patients="optional").studies
    }
    found = compare_annotations(read_annotations(ours), read_annotations(theirs))
    table = _disagreements(ours)
    write_table(comparison_to_table(found), table, Provenance("disagreements"))
    show_disagreements(found, studies, names=(ours.name, theirs.name))
    say(f"all of them → {table}")
