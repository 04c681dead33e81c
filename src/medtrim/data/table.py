"""Any table with a row a study: columns found by name or given by hand, further columns kept as labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from medtrim.data.columns import ColumnMap, map_columns
from medtrim.data.raw import EMPTY_CELLS, Patients, RawRecord, cell
from medtrim.data.rows import Row, decoding_problem, read_rows
from medtrim.types import schemas

_IMAGE_SEPARATOR = "|"


def read_table_records(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    patients: Patients = "required",
    encoding: str = "utf-8",
) -> list[RawRecord]:
    """Records of a table file; see `rows.read_rows` for the formats and `columns.map_columns` for the columns.

    A cell of `images` is a list (Parquet, JSON), or paths with `|` between them. Without a study column, the
    image's file name without its suffix names the study, or its whole path where file names repeat.
    """
    table = read_rows(path, encoding=encoding)
    mapping = map_columns(table.columns, columns=columns, patients=patients, table=path.name)
    records = [record_of(row, mapping) for row in table.rows]
    if "study_id" not in mapping.fields:
        records = list(_named_by_image(records))
    return with_tidy_labels(records, textual=not table.typed)


def record_of(row: Row, mapping: ColumnMap) -> RawRecord:
    """One row as a record."""

    def value(field: str) -> Any:
        return row.cells.get(mapping.fields.get(field, ""))

    problem = row.problem
    texts = {field: cell(value(field)) for field in ("findings", "impression", "text")}
    if not problem:
        problem = decoding_problem("".join(texts.values()))
    study_id = cell(value("study_id"))
    return RawRecord(
        source=row.source,
        study_id="" if decoding_problem(study_id) else study_id,
        patient_id=cell(value("patient_id")),
        images=_images(value("images")),
        view=cell(value("view")),
        split=cell(value("split")),
        labels={_label_name(name): row.cells.get(name) for name in mapping.labels},
        problem=problem,
        **texts,
    )


def _label_name(name: str) -> str:
    """A label may not take the name of a studies column (it can where that column was mapped by hand)."""
    return f"source_{name}" if name in schemas.STUDIES.names else name


def _images(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else cell(value).split(_IMAGE_SEPARATOR)
    return tuple(text for text in map(cell, parts) if text)


def _named_by_image(records: list[RawRecord]) -> Iterator[RawRecord]:
    paths = [PurePosixPath(r.images[0].replace("\\", "/")) if r.images else None for r in records]
    stems = [p.stem for p in paths if p is not None]
    unique = len(set(stems)) == len(stems)
    for record, path in zip(records, paths, strict=True):
        name = "" if path is None else path.stem if unique else str(path.with_suffix(""))
        yield replace(record, study_id=name)


def with_tidy_labels(records: Iterable[RawRecord], *, textual: bool) -> list[RawRecord]:
    """`records` whose label columns each have one type, so that they fit a Parquet column.

    Where the cells came as text (`textual`), a column of whole numbers becomes int, one of numbers float;
    "007" stays text. Empty cells are None. A column of several types becomes text.
    """
    records = list(records)
    names = dict.fromkeys(name for r in records for name in r.labels)
    tidy = {name: _tidy([r.labels.get(name) for r in records], textual=textual) for name in names}
    return [replace(r, labels={name: tidy[name][i] for name in tidy}) for i, r in enumerate(records)]


def _tidy(values: list[object], *, textual: bool) -> list[object]:
    empty = [v is None or v != v or (isinstance(v, str) and v.strip().lower() in EMPTY_CELLS) for v in values]
    kept = [v for v, gone in zip(values, empty, strict=True) if not gone]
    if textual:
        kept = _numbers([str(v).strip() for v in kept])
    else:
        try:
            pa.array(kept)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kept = [str(v) for v in kept]
    filled = iter(kept)
    return [None if gone else next(filled) for gone in empty]


def _numbers(texts: list[str]) -> list[object]:
    try:
        whole = [int(t) for t in texts]
        if [str(n) for n in whole] == texts and all(-(2**63) <= n < 2**63 for n in whole):
            return list(whole)
    except ValueError:
        pass
    if any(len(t) > 1 and t[0] == "0" and t[1].isdigit() for t in texts):
        return list(texts)
    try:
        return [float(t) for t in texts]
    except ValueError:
        return list(texts)
