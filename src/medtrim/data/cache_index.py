"""The image cache's index: which row of the pixel file holds which image, and what it was made from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from medtrim.errors import TableError
from medtrim.types import Provenance
from medtrim.types.tables import provenance_of, read_table, write_table

PIXELS_NAME, INDEX_NAME, JOURNAL_NAME = "images.u8", "index.parquet", "journal.jsonl"
FORMAT = 1
_ROWS = 4096
SCHEMA = pa.schema(
    [
        ("study_id", pa.string()),
        ("position", pa.int32()),
        ("row", pa.int64()),
        ("source", pa.string()),
        ("source_bytes", pa.int64()),
        ("source_mtime_ns", pa.int64()),
        ("source_crc32", pa.int64()),
        ("pixel_crc32", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One cached image: the study and the image's position in it, its row, its source file and both checksums."""

    study_id: str
    position: int
    row: int
    source: str
    source_bytes: int
    source_mtime_ns: int
    source_crc32: int
    pixel_crc32: int

    @property
    def key(self) -> tuple[str, int]:
        """What is unique in an index: the study and the image's position."""
        return self.study_id, self.position


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How every image of a cache was made: side in pixels, how it came into the square, whether equalised."""

    size: int
    fit: str
    equalize: bool = False


def read_index(folder: Path) -> tuple[CacheFormat, pa.Table] | None:
    """Format and entries (`SCHEMA`, a row an image) of a cache, or None where there is none yet.

    Raises:
        TableError: the index cannot be read or was written by something else.
    """
    path = folder / INDEX_NAME
    if not path.exists():
        return None
    table = read_table(path, SCHEMA, table="image cache")
    provenance = provenance_of(table)
    if provenance is None or provenance.kind != "image-cache":
        raise TableError(f"{path} is no image cache's index")
    if provenance.config.get("format") != FORMAT:
        raise TableError(f"{path} has format {provenance.config.get('format')}, this version reads {FORMAT}")
    made = provenance.config
    found = CacheFormat(int(made["size"]), str(made["fit"]), bool(made.get("equalize", False)))
    return found, table.select(SCHEMA.names)


def entries_of(table: pa.Table) -> Iterator[CacheEntry]:
    """The entries of an index's table, in its order."""
    for batch in table.to_batches(max_chunksize=_ROWS):
        yield from map(CacheEntry, *(column.to_pylist() for column in batch.columns))


def write_index(folder: Path, made: CacheFormat, entries: Iterable[CacheEntry]) -> None:
    """Replace the index atomically; from now on readers see these entries."""
    entries = list(entries)
    columns = [pa.array([getattr(e, field.name) for e in entries], field.type) for field in SCHEMA]
    config = {"format": FORMAT, "size": made.size, "fit": made.fit}
    config |= {"equalize": True} if made.equalize else {}
    write_table(
        pa.Table.from_arrays(columns, schema=SCHEMA), folder / INDEX_NAME, Provenance("image-cache", config=config)
    )


def append_journal(folder: Path, entries: Iterable[CacheEntry]) -> None:
    """Note finished rows on disk, so that a killed run does not decode them again."""
    with (folder / JOURNAL_NAME).open("a", encoding="utf-8") as journal:
        journal.writelines(json.dumps(asdict(entry)) + "\n" for entry in entries)
        journal.flush()
        os.fsync(journal.fileno())


def read_journal(folder: Path) -> list[CacheEntry]:
    """Rows that a run finished and did not live to index; a line torn by the kill ends the list."""
    path = folder / JOURNAL_NAME
    entries: list[CacheEntry] = []
    if not path.exists():
        return entries
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entries.append(CacheEntry(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return entries


def drop_journal(folder: Path) -> None:
    """Forget the journal, after its rows are in the index."""
    (folder / JOURNAL_NAME).unlink(missing_ok=True)
