"""Reading and writing MedTrim's tables: checked columns, atomic files, provenance in the metadata."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medtrim.errors import TableError
from medtrim.types import schemas
from medtrim.types.outputs import writing
from medtrim.types.provenance import Provenance
from medtrim.types.records import Annotation, Finding, Mention, Reject, Study, Triplet
from medtrim.types.settings import close_names, did_you_mean

# Rows that are Python objects at a time while a table is read.
_ROWS = 4096


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
        pq.write_table(table, part, compression="zstd")


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
    """Raise a `TableError` naming the first study ids that occur more than once."""
    seen: set[str] = set()
    repeated: list[str] = []
    for study_id in ids:
        if study_id in seen:
            repeated.append(study_id)
        seen.add(study_id)
    if repeated:
        raise TableError(f"{table}: {len(repeated)} duplicate study id(s): {shown_ids(repeated)}")


def shown_ids(ids: Sequence[str]) -> str:
    """The first five of `ids` for an error message."""
    return ", ".join(map(repr, ids[:5])) + (" …" if len(ids) > 5 else "")


def read_studies(path: Path | str) -> list[Study]:
    """The studies of a studies table, columns beyond the schema as `labels`."""
    return studies_from_table(read_table(path, schemas.STUDIES, table="studies"))


def studies_from_table(table: pa.Table) -> list[Study]:
    """Records of a studies table that `conform` has checked."""
    studies = list(iterate_studies(table))
    check_unique((s.study_id for s in studies), table="studies")
    return studies


def iterate_studies(table: pa.Table) -> Iterator[Study]:
    """Records of a studies table that `conform` has checked, one after the other; ids may repeat."""
    names = [name for name in table.column_names if name not in schemas.STUDIES.names]
    for batch in table.to_batches(max_chunksize=_ROWS):
        fields = [batch.column(name).to_pylist() for name in schemas.STUDIES.names]
        labels = zip(*(batch.column(name).to_pylist() for name in names), strict=True) if names else repeat(())
        for values, kept in zip(zip(*fields, strict=True), labels, strict=False):
            study_id, patient_id, images, view, findings, impression, split = values
            yield Study(
                study_id,
                patient_id,
                tuple(images or ()),
                view or "",
                findings or "",
                impression or "",
                split or "",
                dict(zip(names, kept, strict=True)),
            )


def studies_to_table(studies: Iterable[Study]) -> pa.Table:
    """A studies table; label columns are the union of the studies' labels, absent ones null."""
    studies = list(studies)
    labels = list(dict.fromkeys(name for s in studies for name in s.labels))
    fields = [pa.array([_plain(getattr(s, f.name)) for s in studies], type=f.type) for f in schemas.STUDIES]
    core = pa.Table.from_arrays(fields, schema=schemas.STUDIES)
    for name in labels:
        core = core.append_column(name, _label_column([s.labels.get(name) for s in studies]))
    return core


def _label_column(values: list[Any]) -> pa.Array:
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


def read_annotations(path: Path | str) -> list[Annotation]:
    """The annotations of an annotations table, in its order."""
    return annotations_from_table(read_table(path, schemas.ANNOTATIONS, table="annotations"))


def annotations_from_table(table: pa.Table) -> list[Annotation]:
    """Records of an annotations table that `conform` has checked."""
    annotations = [
        Annotation(row["study_id"], tuple(_finding(f) for f in row["findings"] or ()), row.get("read") is not False)
        for row in table.select([n for n in schemas.ANNOTATIONS.names if n in table.column_names]).to_pylist()
    ]
    check_unique((a.study_id for a in annotations), table="annotations")
    return annotations


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


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        disease=row["disease"],
        assertion=row["assertion"],
        adjectives=tuple(row["adjectives"] or ()),
        directions=tuple(row["directions"] or ()),
        mentions=tuple(Mention(**m) for m in row["mentions"] or ()),
        change=row.get("change"),
        size_mm=row.get("size_mm"),
    )


Progress = Callable[[int, int], None]
"""What long work calls as it goes: (done, total); total is 0 where it is not known."""


def no_progress(done: int, total: int) -> None:
    """The `Progress` of a caller who does not want to know."""
