"""Writing annotations as they come: bounded memory, one atomic file, the same bytes however they were batched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medtrim.entities.ontology import Ontology
from medtrim.types import ASSERTIONS, Provenance, schemas
from medtrim.types.outputs import writing
from medtrim.types.tables import Progress, no_progress, partial_path

# Rows of one Parquet row group. Fixed, because the bytes of the file depend on it.
ROW_GROUP = 8192
_Write = Callable[[list[pa.RecordBatch], int], list[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Written:
    """How many reports were annotated, their findings by assertion, and the studies whose report was not read."""

    reports: int
    findings: Mapping[str, int]
    unread: tuple[str, ...] = ()


def annotations_provenance(ontology: Ontology) -> Provenance:
    """Provenance of an annotations table: which ontology made it, and what contradicts what in it."""
    axes = {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()}
    return Provenance("annotations", ontology=ontology.ref, extra={"contradictions": axes})


def write_annotations(
    batches: Iterable[pa.RecordBatch],
    path: Path | str,
    ontology: Ontology,
    *,
    total: int = 0,
    progress: Progress = no_progress,
) -> Written:
    """Write annotation batches as one Parquet table.

    The file appears under its name only when it is whole. What a killed run leaves is a `.part` file beside it,
    which nothing reads and `types.outputs.sole_writer` removes.

    Raises:
        TableError: the system refuses (no folder, no permission, no room); the message names `path`.
    """
    path = Path(path)
    schema = schemas.ANNOTATIONS.with_metadata(annotations_provenance(ontology).to_metadata())
    counts: dict[str, int] = dict.fromkeys(ASSERTIONS, 0)
    waiting: list[pa.RecordBatch] = []
    unread: list[str] = []
    rows = done = 0
    with partial_path(path) as part, _opened(part, path, schema) as write:
        for batch in batches:
            waiting.append(batch)
            rows += batch.num_rows
            done += batch.num_rows
            unread += batch.column(0).filter(pc.invert(batch.column(2))).to_pylist()
            assertions = pc.struct_field(pc.list_flatten(batch.column(1)), "assertion")
            for row in pc.value_counts(assertions).to_pylist():
                counts[row["values"]] += row["counts"]
            while rows >= ROW_GROUP:
                waiting = write(waiting, ROW_GROUP)
                rows -= ROW_GROUP
            progress(done, total)
        if rows:
            write(waiting, rows)
    return Written(done, counts, tuple(unread))


@contextmanager
def _opened(part: Path, path: Path, schema: pa.Schema) -> Iterator[_Write]:
    """What writes a row group to `part`. Only writing is put down to `path`: the reports are read in between."""
    with writing(path):
        writer = pq.ParquetWriter(part, schema, compression="zstd")

    def write(waiting: list[pa.RecordBatch], rows: int) -> list[pa.RecordBatch]:
        with writing(path):
            return _write_group(writer, waiting, rows)

    try:
        yield write
    finally:
        with writing(path):
            writer.close()


def _write_group(writer: pq.ParquetWriter, waiting: list[pa.RecordBatch], rows: int) -> list[pa.RecordBatch]:
    """Write the first `rows` rows as one row group; returns what is left."""
    table = pa.Table.from_batches(waiting)
    group = table.slice(0, rows).combine_chunks()
    writer.write_table(group.replace_schema_metadata(writer.schema.metadata), row_group_size=rows)
    rest = table.slice(rows)
    return list(rest.to_batches())
