"""Reading and writing MedTrim's tables: checked columns, atomic files, provenance in the metadata."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medtrim.errors import TableError
from medtrim.types import schemas
from medtrim.types.annotation_table import ROWS, AnnotationTable
from medtrim.types.outputs import writing
from medtrim.types.provenance import Provenance
from medtrim.types.records import Annotation, Finding, Reject, Study, Triplet
from medtrim.types.settings import close_names, did_you_mean
from medtrim.types.study_table import UNREAD, StudyTable

# Rows that are compressed at a time when a table is written.
ROW_GROUP = 1 << 16


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well, and vanishes when not.

    Raises:
        TableError: the system refuses (no such folder, no permission, no room); the message names `path`.
    """
    with writing(path), partial_path(path) as part:
        yield part


@contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """`atomic_path` for a block that reads too: an `OSError` of the block stays what it is.

    Every call has a temporary path of its own, which only this user can read until it becomes `path`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    part = Path(name)
    try:
        yield part
        with writing(path):
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_table(table: pa.Table, path: Path | str, provenance: Provenance) -> None:
    """Write `table` as Parquet with its provenance, atomically: a reader never sees half a file."""
    table = table.replace_schema_metadata(provenance.to_metadata())
    with atomic_path(Path(path)) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=ROW_GROUP)


def check_columns(found: Iterable[str], wanted: Iterable[str], *, table: str) -> None:
    """Raise a `TableError` that names every missing column and the likely misspelling of each."""
    found, wanted = list(found), list(wanted)
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    spare = [name for name in found if name not in wanted]
    hints = [f"{name!r}{did_you_mean(close_names(name, spare, cutoff=0.6))}" for name in missing]
    raise TableError(f"{table}: missing column {'; '.join(hints)}; columns found: {', '.join(found) or 'none'}")


def read_table(path: Path | str, schema: pa.Schema, *, table: str) -> pa.Table:
    """Read a Parquet table, check it has `schema`'s columns and cast them; further columns are kept.

    Raises:
        TableError: the file is missing, is no Parquet, lacks columns or holds the wrong types.
    """
    path = Path(path)
    if not path.exists():
        raise TableError(f"{table}: {path} does not exist")
    try:
        data = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{table}: {path} cannot be read as Parquet ({error})") from error
    return conform(data, schema, table=table)


def conform(data: pa.Table, schema: pa.Schema, *, table: str) -> pa.Table:
    """`data` with `schema`'s columns first and of its types, further columns behind; the metadata stays."""
    check_columns(data.column_names, [n for n in schema.names if n not in schemas.DEFAULTS], table=table)
    columns: dict[str, Any] = {}
    for wanted in schema:
        if wanted.name not in data.column_names:
            columns[wanted.name] = pa.array([schemas.DEFAULTS[wanted.name]] * len(data), wanted.type)
            continue
        column = data[wanted.name]
        if column.type != wanted.type:
            try:
                column = column.cast(wanted.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise TableError(
                    f"{table}: column {wanted.name!r} holds {column.type}, expected {wanted.type}"
                ) from error
        columns[wanted.name] = column
    columns |= {name: data[name] for name in data.column_names if name not in columns}
    return pa.table(columns, metadata=data.schema.metadata)


def provenance_of(table: pa.Table) -> Provenance | None:
    """The provenance that `table` carries, if it was made by MedTrim."""
    return Provenance.from_metadata(table.schema.metadata)


def check_unique(ids: Iterable[str], *, table: str) -> None:
    """Raise a `TableError` that says how many study ids occur more than once, and names the first, each once."""
    repeated = [study_id for study_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise TableError(f"{table}: {len(repeated)} duplicate study id(s): {shown_ids(repeated)}")


def shown_ids(ids: Sequence[str]) -> str:
    """The first five of `ids` for an error message."""
    return ", ".join(map(repr, ids[:5])) + (" …" if len(ids) > 5 else "")


def read_studies(path: Path | str) -> StudyTable:
    """The studies of a studies table, columns beyond the schema as `labels`."""
    return studies_from_table(read_table(path, schemas.STUDIES, table="studies"))


def studies_from_table(table: pa.Table) -> StudyTable:
    """Records of a studies table that `conform` has checked."""
    check_unique(table["study_id"].to_pylist(), table="studies")
    return StudyTable(table)


def studies_to_table(studies: Iterable[Study]) -> pa.Table:
    """A studies table; label columns are the union of the studies' labels, absent ones null."""
    if isinstance(studies, StudyTable):
        return studies.table.drop_columns([n for n in (UNREAD,) if n in studies.table.column_names])
    studies = list(studies)
    labels = list(dict.fromkeys(name for s in studies for name in s.labels))
    fields = [pa.array([_plain(getattr(s, f.name)) for s in studies], type=f.type) for f in schemas.STUDIES]
    core = pa.Table.from_arrays(fields, schema=schemas.STUDIES)
    for name in labels:
        core = core.append_column(name, label_column([s.labels.get(name) for s in studies]))
    return core


def label_column(values: list[Any]) -> pa.Array:
    """A label column; lists of findings have the type of an annotation's, so that they can be read as the truth."""
    names = set(schemas.FINDING.names)
    first = next((item for value in values if isinstance(value, list) for item in value), None)
    findings = isinstance(first, Mapping) and set(first) == names
    return pa.array(values, type=pa.list_(schemas.FINDING) if findings else None)


def annotations_to_table(annotations: Iterable[Annotation]) -> pa.Table:
    """An annotations table in the order given."""
    return pa.Table.from_pylist(
        [
            {"study_id": a.study_id, "findings": [_finding_row(f) for f in a.findings], "read": a.read}
            for a in annotations
        ],
        schema=schemas.ANNOTATIONS,
    )


def annotation_table(annotations: Iterable[Annotation]) -> AnnotationTable:
    """The annotations as rows of a table, made of the records a block at a time."""
    if isinstance(annotations, AnnotationTable):
        return annotations
    parts = [schemas.ANNOTATIONS.empty_table()]
    records = iter(annotations)
    while block := list(islice(records, ROWS)):
        parts.append(annotations_to_table(block))
    return AnnotationTable(pa.concat_tables(parts))


def read_annotations(path: Path | str, *, mentions: bool = True) -> AnnotationTable:
    """The annotations of an annotations table, in its order.

    Args:
        mentions: read the mentions too, most of the file; without them findings have none.
    """
    if not mentions and (leaves := slim_columns(path)):
        parts = [_without_mentions(batch) for batch in pq.ParquetFile(path).iter_batches(columns=leaves)]
        table = pa.Table.from_batches(parts, schema=schemas.ANNOTATIONS)
    else:
        table = read_table(path, schemas.ANNOTATIONS, table="annotations")
    check_unique(table["study_id"].to_pylist(), table="annotations")
    return AnnotationTable(table)


def slim_columns(path: Path | str) -> list[str]:
    """The columns of the annotations table at `path` but those of mentions.

    Empty where they are not the schema's, so that the table must be read whole and cast.
    """
    wanted = schemas.ANNOTATIONS
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow
            leaves = [file.schema.column(i).path for i in range(len(file.schema))]
    except (pa.ArrowInvalid, OSError):
        return []
    if any(name not in there.names or there.field(name).type != wanted.field(name).type for name in wanted.names):
        return []
    return [leaf for leaf in leaves if leaf.split(".")[0] in wanted.names and ".mentions." not in leaf]


def _without_mentions(batch: pa.RecordBatch) -> pa.RecordBatch:
    lists = batch.column("findings")
    found = lists.flatten()
    parts = [
        pa.nulls(len(found), field.type) if field.name == "mentions" else found.field(field.name)
        for field in schemas.FINDING
    ]
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    slim = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(parts, fields=list(schemas.FINDING)))
    return pa.RecordBatch.from_arrays(
        [batch.column("study_id"), slim, batch.column("read")], schema=schemas.ANNOTATIONS
    )


def annotations_from_table(table: pa.Table) -> list[Annotation]:
    """Records of an annotations table that `conform` has checked."""
    check_unique(table["study_id"].to_pylist(), table="annotations")
    return list(AnnotationTable(table))


def triplets_to_table(triplets: Iterable[Triplet]) -> pa.Table:
    """A triplets table in the order given."""
    rows = list(triplets)
    return pa.table({f.name: pa.array([getattr(t, f.name) for t in rows], type=f.type) for f in schemas.TRIPLETS})


def rejects_to_table(rejects: Iterable[Reject]) -> pa.Table:
    """A rejects table in the order given."""
    rows = list(rejects)
    return pa.table({f.name: pa.array([getattr(r, f.name) for r in rows], type=f.type) for f in schemas.REJECTS})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "disease": finding.disease,
        "assertion": finding.assertion,
        "adjectives": list(finding.adjectives),
        "directions": list(finding.directions),
        "mentions": [
            {"section": m.section, "start": m.start, "end": m.end, "text": m.text, "role": m.role}
            for m in finding.mentions
        ],
        "change": finding.change,
        "size_mm": finding.size_mm,
    }


Progress = Callable[[int, int], None]
"""What long work calls as it goes: (done, total); total is 0 where it is not known."""


def no_progress(done: int, total: int) -> None:
    """The `Progress` of a caller who does not want to know."""
