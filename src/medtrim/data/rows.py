"""Rows of a CSV, TSV, JSON lines, JSON or Parquet file, one dict a row, broken rows told from readable ones."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from medtrim.errors import TableError

DELIMITED = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
SUFFIXES = DELIMITED + JSON_LINES + PARQUET
_LONGEST_CELL = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stood, its cells by column, and what is wrong with it, if anything."""

    source: str
    cells: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of a file in their order, and its rows, read as they are asked for."""

    columns: tuple[str, ...]
    rows: Iterator[Row]
    typed: bool


def table_suffix(path: Path) -> str:
    """The suffix that tells the format, `.gz` put aside; empty where it is no table's."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else ""


def read_rows(path: Path, *, encoding: str = "utf-8") -> Rows:
    """Open a table by its suffix (`.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`; the text ones may be gzipped).

    Raises:
        TableError: the file is missing, empty, of an unknown format or unreadable as a whole.
    """
    suffix = table_suffix(path)
    if not suffix:
        raise TableError(f"{path}: unknown table format; known are {', '.join(SUFFIXES)} (also .gz)")
    if not path.is_file():
        raise TableError(f"{path} does not exist")
    if suffix in PARQUET:
        return _parquet(path)
    try:
        return _delimited(path, encoding, suffix) if suffix in DELIMITED else _json(path, encoding)
    except LookupError as error:
        raise TableError(f"{path}: {error}") from error
    except (OSError, EOFError, UnicodeError) as error:
        raise TableError(f"{path} cannot be read ({error})") from error


def _open_text(path: Path, encoding: str) -> IO[str]:
    """The file as text. A byte-order mark decides; undecodable bytes become surrogates, to be rejected by row."""
    codec = codecs.lookup(encoding).name
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    raw = cast("IO[bytes]", opener(path, "rb"))
    start = raw.read(4)
    raw.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    elif codec == "utf-8":
        codec = "utf-8-sig"
    return io.TextIOWrapper(raw, encoding=codec, errors="surrogateescape", newline="")


def _delimited(path: Path, encoding: str, suffix: str) -> Rows:
    with _open_text(path, encoding) as stream:
        line = stream.readline()
    if not line.strip():
        raise TableError(f"{path}: empty file, no header line")
    if "\x00" in line:
        raise TableError(f"{path}: header holds NUL characters: wrong encoding")
    delimiter = max("\t" if suffix == ".tsv" else ",", ";", "\t", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    doubled = [name for i, name in enumerate(names) if name and name in names[:i]]
    if doubled:
        raise TableError(f"{path}: column {doubled[0]!r} occurs more than once")
    columns = tuple(name or f"column_{i}" for i, name in enumerate(names))
    return Rows(columns, _delimited_rows(path, encoding, delimiter, columns), typed=False)


def _delimited_rows(path: Path, encoding: str, delimiter: str, columns: tuple[str, ...]) -> Iterator[Row]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open_text(path, encoding) as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            next(reader)
            while True:
                source = f"{path.name}:{reader.line_num + 1}"
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(source, {}, f"malformed row ({error})")
                    continue
                except (OSError, EOFError, UnicodeError) as error:
                    raise TableError(f"{source} cannot be read ({error})") from error
                if cells:
                    yield _checked(source, columns, cells)
    finally:
        csv.field_size_limit(before)


def _checked(source: str, columns: tuple[str, ...], cells: list[str]) -> Row:
    row: dict[str, Any] = dict(zip(columns, cells, strict=False))
    if len(cells) != len(columns):
        return Row(source, row, f"row has {len(cells)} cells, the header {len(columns)}")
    return Row(source, row, decoding_problem("".join(cells)))


def decoding_problem(text: str) -> str:
    """What is wrong with text that was decoded with `surrogateescape`; empty where it is clean."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return wrong_byte((ord(text[error.start]) - 0xDC00) & 0xFF)
    return ""


def wrong_byte(byte: int) -> str:
    """The reason of a reject for text in another encoding."""
    return f"byte 0x{byte:02x} is not valid in the encoding; give the right one (such as latin-1)"


def _json(path: Path, encoding: str) -> Rows:
    """JSON lines, or one JSON list of objects; the columns are the union over all rows."""
    with _open_text(path, encoding) as stream:
        text = stream.read()
    if not text.strip():
        raise TableError(f"{path}: empty file")
    rows = _json_list(path, text) if text.lstrip().startswith("[") else _json_lines(path, text)
    columns = tuple(dict.fromkeys(str(name) for row in rows for name in row.cells))
    return Rows(columns, iter(rows), typed=True)


def _json_list(path: Path, text: str) -> list[Row]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise TableError(f"{path}: malformed JSON ({error})") from error
    return [_object(f"{path.name}[{i}]", item) for i, item in enumerate(items)]


def _json_lines(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        source = f"{path.name}:{number}"
        if not line.strip():
            continue
        problem = decoding_problem(line)
        if problem:
            rows.append(Row(source, {}, problem))
            continue
        try:
            rows.append(_object(source, json.loads(line)))
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "unreadable number"
            rows.append(Row(source, {}, f"malformed JSON ({reason})"))
    return rows


def _object(source: str, item: object) -> Row:
    if isinstance(item, dict):
        return Row(source, item)
    return Row(source, {}, f"expected a JSON object, found {type(item).__name__}")


def _parquet(path: Path) -> Rows:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet ({error})") from error

    def rows() -> Iterator[Row]:
        number = 0
        with file:
            for batch in file.iter_batches():
                for cells in batch.to_pylist():
                    yield Row(f"{path.name}:{number}", cells)
                    number += 1

    return Rows(tuple(file.schema_arrow.names), rows(), typed=True)
