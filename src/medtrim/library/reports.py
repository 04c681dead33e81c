"""Reports in whatever holds them (a column, a list, a file), findings as an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from medtrim.data import read_corpus
from medtrim.entities import Ontology, annotate_batches, load_ontology, split_sections
from medtrim.entities.corpus import batches_of
from medtrim.entities.writing import annotations_provenance
from medtrim.errors import ConfigError, TableError
from medtrim.types import Study, schemas
from medtrim.types.sources import AnnotationSource, ArrowStream, load_annotations
from medtrim.types.tables import annotations_to_table, check_unique

ReportSource: TypeAlias = Path | str | ArrowStream | Iterable[str | None]


def annotate(
    reports: ReportSource,
    *,
    study_ids: ArrowStream | Iterable[Any] | None = None,
    columns: Mapping[str, str] | None = None,
    ontology: Ontology | None = None,
    empty: Literal["error", "drop"] = "error",
    workers: int = 1,
) -> pa.Table:
    """Read the findings of radiology reports (OBER): an annotations table, one row a report.

    `medtrim.findings_table` makes one row a finding of it. Its provenance (ontology with version and hash) is in
    the schema's metadata, and every function of MedTrim that takes annotations takes it as it is.

    Args:
        reports: a column of whole reports (pandas, Polars, PyArrow, or any list of texts); or the path of a table
            (`.parquet`, `.csv`, `.tsv`, `.jsonl`) or another corpus that `medtrim data import` reads. Of a whole
            report the findings and impression sections are read, found by their headings; a text without headings
            is read from start to end. Character offsets of mentions are into the section.
        study_ids: one id a report of a column, as texts or whole numbers. Without them the index of a pandas
            column, or else the row numbers from "0".
        columns: of a table, field (`study_id`, `findings`, `impression`, `text`) → name of the column.
        ontology: the vocabulary; the default one where None (`medtrim.load_ontology` lays others over it).
        empty: what to do with reports that cannot be read (no text, no id): `error`, or `drop` them.
        workers: processes; the table is the same for any number.

    Returns:
        `study_id: string, findings: list<{disease, assertion, adjectives, directions, mentions}>`, and `read`,
        false where the report gave no finding and does not say that it is normal.

    Raises:
        TableError: ids repeat or do not match the reports in number, a column is missing or holds no text, or a
            report is empty and `empty` is `error`; the message names the studies.
        ConfigError: `columns` with a column in place of a table, or `workers` below 1.

    Examples:
        >>> import medtrim
        >>> reports = ["Small left pleural effusion. No pneumothorax.", "The lungs are clear."]
        >>> found = medtrim.annotate(reports, study_ids=["s1", "s2"])
        >>> found.num_rows, found["findings"][0][1]["assertion"].as_py()
        (2, 'absent')
    """
    if isinstance(reports, Path | str):
        if study_ids is not None:
            raise ConfigError("study_ids go with a column of reports; of a table name columns={'study_id': …}")
        studies, unusable = _of_file(Path(reports), columns)
    else:
        if columns is not None:
            raise ConfigError("columns are for a table; of a column of reports give study_ids")
        studies, unusable = _of_column(reports, study_ids)
    if unusable and empty == "error":
        raise TableError(
            f"{len(unusable)} of {len(studies) + len(unusable)} reports cannot be read, the first: {unusable[0]}; "
            "empty='drop' leaves them out"
        )
    vocabulary = ontology or load_ontology()
    found = list(annotate_batches(batches_of(studies), ontology=vocabulary, workers=workers))
    table = pa.Table.from_batches(found, schema=schemas.ANNOTATIONS)
    return table.replace_schema_metadata(annotations_provenance(vocabulary).to_metadata())


def findings_table(annotations: AnnotationSource) -> pa.Table:
    """One row a finding of an annotations table: flat, for pandas, Polars or SQL.

    A report without any finding has one row, in which everything about the finding is null, as after pandas'
    `explode`: every study is there to be counted, and `dropna(subset="disease")` leaves the findings.

    Args:
        annotations: what `medtrim.annotate` or `medtrim annotate` made, as a table or its path, or records.

    Returns:
        `study_id, disease, assertion` (present, uncertain or absent), the descriptors as lists, where the disease
        is named: `section` (findings or impression), `start`, `end` (half-open character offsets into the section)
        and `text`, and `read`, false where nothing was recognised in the report and it does not say that it is
        normal.

    Raises:
        TableError: the table lacks columns or an id repeats.

    Examples:
        >>> import medtrim
        >>> reports = ["Small left pleural effusion. No pneumothorax.", "The lungs are clear."]
        >>> found = medtrim.findings_table(medtrim.annotate(reports))
        >>> for row in found.to_pylist():
        ...     print(row["study_id"], row["disease"], row["assertion"], row["adjectives"], row["directions"])
        0 pleural effusion present ['small'] ['left']
        0 pneumothorax absent [] []
        1 None None None None
    """
    table = annotations_to_table(load_annotations(annotations).annotations)
    lists = table["findings"].combine_chunks()
    findings = lists.flatten()
    counts = lists.value_lengths().to_numpy(zero_copy_only=False)
    rows = np.maximum(counts, 1)
    studies = np.repeat(np.arange(len(table)), rows)
    without = np.repeat(counts == 0, rows)
    # The null rows are taken from the place −1, which the mask hides.
    places = pa.array(np.where(without, -1, np.cumsum(~without) - 1), mask=without)
    columns: dict[str, Any] = {"study_id": table["study_id"].combine_chunks().take(pa.array(studies))}
    for field in schemas.FINDING:
        if field.name != "mentions":
            columns[field.name] = findings.field(field.name).take(places)
    named = [
        next((m for m in mentions or () if m["role"] == "disease"), None)
        for mentions in findings.field("mentions").take(places).to_pylist()
    ]
    for field in schemas.MENTION:
        if field.name != "role":
            columns[field.name] = pa.array([m and m[field.name] for m in named], field.type)
    columns["read"] = table["read"].combine_chunks().take(pa.array(studies))
    return pa.table(columns)


def _of_file(path: Path, columns: Mapping[str, str] | None) -> tuple[Sequence[Study], list[str]]:
    """The studies of a corpus on disk, and what is wrong with the others."""
    if not path.exists():
        raise TableError(f"{path} does not exist; texts themselves are given as a list: annotate([text, …])")
    reading = read_corpus(path, split_sections=split_sections, columns=columns, patients="optional")
    return reading.studies, [f"study {r.study_id!r} ({r.reason})" for r in reading.rejects]


def _of_column(reports: Any, study_ids: Any) -> tuple[list[Study], list[str]]:
    """The studies of a column of texts, and what is wrong with the others."""
    texts = _texts(reports)
    ids = _ids(reports, study_ids, count=len(texts))
    if len(ids) != len(texts):
        raise TableError(f"{len(ids)} study ids for {len(texts)} reports")
    without = [row for row, study_id in enumerate(ids) if study_id in (None, "")]
    check_unique((i for i in ids if i), table="reports")
    unusable = [f"row {row} (no study id)" for row in without]
    studies = []
    for study_id, text in zip(ids, texts, strict=True):
        if not study_id:
            continue
        sections = split_sections(text or "")
        if sections.findings or sections.impression:
            studies.append(Study(study_id, "", findings=sections.findings, impression=sections.impression))
        else:
            unusable.append(f"study {study_id!r} (neither a findings nor an impression section)")
    return studies, unusable


def _texts(values: Any) -> list[str | None]:
    column = _as_array(values)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_struct(column.type):
        raise TableError(f"reports are a table; give the column of texts: one of {[f.name for f in column.type]}")
    textual = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    if not any(is_text(column.type) for is_text in textual):
        raise TableError(f"reports hold {column.type}; allowed: texts")
    found: list[str | None] = column.to_pylist()
    return found


def _ids(reports: Any, study_ids: Any, *, count: int) -> list[str | None]:
    """Ids as texts: the given ones, the index of a pandas column, or row numbers."""
    if study_ids is None:
        index = getattr(reports, "index", None)
        if index is None or callable(index):
            return [str(row) for row in range(count)]
        study_ids = index.to_numpy()
    column = _as_array(study_ids)
    if pa.types.is_floating(column.type):
        raise TableError(f"study ids hold {column.type}; allowed: texts or whole numbers")
    return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]


def _as_array(values: Any) -> Any:
    """An Arrow array of a column, without a copy where its library exports Arrow data."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        # pandas marks what is missing by NaN, which is no text.
        return pa.array([None if v is None or v != v else v for v in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        kinds = (
            sorted({type(v).__name__ for v in values})
            if isinstance(values, list | tuple)
            else [type(values).__name__]
        )
        raise TableError(
            f"a column holds {', '.join(kinds)}; allowed: texts (study ids also whole numbers)"
        ) from error
