"""`medtrim annotate`: findings from reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import lock_outputs, progress_bar, report_rejects, say, warn
from medtrim.types.processes import Engine

if TYPE_CHECKING:
    import pyarrow as pa

    from medtrim.entities import Ontology
    from medtrim.entities.writing import Written
    from medtrim.types import Annotation, Reject, Study

# Share of known words below which a report is taken to be in another language.
FOREIGN = 0.4


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
    engine: Annotated[Engine, typer.Option(help="Local processes, or Ray Data (medtrim\\[ray]).")] = Engine.process,
    compare: Annotated[
        Path | None,
        typer.Option(help="Another annotations table, or CheXpert-style labels: list where the two disagree."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="With --compare: also write the disagreements by kind as an HTML page.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any record could not be used.")] = False,
) -> None:
    """Read every report's findings: disease, assertion, adjectives, directions, with character offsets."""
    from medtrim.entities import load_ontology
    from medtrim.entities.writing import write_annotations
    from medtrim.errors import ConfigError
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output, check_table_output
    from medtrim.types.tables import rejects_to_table, write_table

    inputs = (reports, compare, *(ontology or ()))
    check_table_output(output, *inputs)
    rejects, unread = (output.with_name(f"{output.stem}.{name}.parquet") for name in ("rejects", "unread"))
    beside = [rejects, unread, *([_disagreements(output)] if compare else []), *([page] if page else [])]
    for path in beside:
        check_output(path, *inputs)
    if page is not None and compare is None:
        raise ConfigError("--page shows a comparison: say with what by --compare")
    lock_outputs(context, output, rejects, unread, _disagreements(output))
    vocabulary = load_ontology(*(ontology or ()))
    batches, total, rejected, studies = _reports(reports)
    with progress_bar("annotating") as progress:
        annotated = _run(batches, vocabulary, workers, engine)
        written = write_annotations(annotated, output, vocabulary, total=total, progress=progress)
    write_table(rejects_to_table(rejected()), rejects, Provenance("rejects"))
    _summary(written, output)
    _report_unread(studies(), written, unread, vocabulary)
    if compare is not None:
        _compare(output, compare, reports, page)
    report_rejects(len(rejected()), str(rejects), strict=strict)


def _reports(
    path: Path,
) -> tuple[Iterator[pa.RecordBatch], int, Callable[[], Sequence[Reject]], Callable[[], Iterable[Study]]]:
    """Batches of reports, how many there are, and once they are drawn what could not be used and all studies."""
    from medtrim.data import read_corpus
    from medtrim.entities import split_sections
    from medtrim.entities.corpus import batches_of
    from medtrim.entities.streaming import StudyStream

    if StudyStream.accepts(path):
        stream = StudyStream(path)
        return stream.batches(), stream.rows, lambda: stream.rejects, stream.studies
    reading = read_corpus(path, split_sections=split_sections, patients="optional")
    return batches_of(reading.studies), len(reading.studies), lambda: reading.rejects, lambda: reading.studies


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


def _report_unread(studies: Iterable[Study], written: Written, path: Path, ontology: Ontology) -> None:
    """Write and say which reports were not read, and how much of the others stands in no section."""
    import pyarrow.compute as pc

    from medtrim.entities.coverage import unread_table
    from medtrim.types import Provenance
    from medtrim.types.tables import write_table

    table = unread_table(studies, written.unread, ontology)
    write_table(table, path, Provenance("unread", ontology=ontology.ref))
    characters = pc.sum(table["characters"]).as_py() or 0
    foreign = pc.sum(pc.less(pc.fill_null(table["known"], 1.0), FOREIGN)).as_py() or 0
    if written.unread:
        language = f", {foreign:,} of them perhaps in another language" if foreign else ""
        warn(
            f"{len(written.unread):,} report(s) were not read{language}: nothing in them is recognised and "
            f"normality is not stated, so they are no normal studies; ids and unknown words → {path}",
            label="note:",
        )
    if characters:
        warn(
            f"{characters:,} characters stand in no section (history, comparison …); by study → {path}",
            label="note:",
        )


def _disagreements(output: Path) -> Path:
    return output.with_name(f"{output.stem}.disagreements.parquet")


def _compare(ours: Path, theirs: Path, reports: Path, page: Path | None) -> None:
    from medtrim.cli.compare import show_disagreements
    from medtrim.data import read_corpus
    from medtrim.entities import split_sections
    from medtrim.entities.compare import compare_annotations, comparison_to_table
    from medtrim.entities.compare_page import comparison_page
    from medtrim.types import Provenance
    from medtrim.types.tables import atomic_path, read_annotations, write_table

    studies = {
        s.study_id: s for s in read_corpus(reports, split_sections=split_sections, patients="optional").studies
    }
    found = compare_annotations(*_comparable(read_annotations(ours), theirs))
    table = _disagreements(ours)
    write_table(comparison_to_table(found), table, Provenance("disagreements"))
    names = (ours.name, theirs.name)
    show_disagreements(found, studies, names=names)
    say(f"all of them → {table}")
    if page is not None:
        with atomic_path(page) as part:
            part.write_text(comparison_page(found, studies, names=names), encoding="utf-8")
        say(f"page → {page} (it quotes reports)")


def _comparable(ours: Sequence[Annotation], theirs: Path) -> tuple[Sequence[Annotation], Sequence[Annotation]]:
    """Our annotations and those at `theirs`: an annotations table, or labels, which say less of a study."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from medtrim.entities.labels import read_labels, study_level
    from medtrim.errors import TableError
    from medtrim.types.tables import read_annotations

    parquet = theirs.suffix.lower() in (".parquet", ".pq")
    if parquet:
        try:
            names = pq.read_schema(theirs).names
        except (OSError, pa.ArrowInvalid) as error:
            raise TableError(f"annotations: {theirs} cannot be read as Parquet ({type(error).__name__})") from error
        if "findings" in names:
            return ours, read_annotations(theirs)
    labels = read_labels(theirs)
    diseases = tuple(dict.fromkeys(f.disease for a in labels for f in a.findings))
    return study_level(ours, diseases), labels
