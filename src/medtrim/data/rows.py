"""Rows of a CSV, TSV, Excel, JSON lines, JSON or Parquet file, one dict a row, broken ones with their problem."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from medtrim.data.boundary import UnusableError, check_text
from medtrim.errors import TableError

DELIMITED = (".csv", ".tsv")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm")
UNREAD_TABLES = (".xls", ".ods")
SUFFIXES = DELIMITED + JSON_LINES + PARQUET + EXCEL
_LONGEST_CELL = 16 * 2**20
# Rows of a Parquet file in memory at a time; few where a row holds an image.
_BATCH, _BINARY_BATCH = 4096, 32


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
    if path.suffix.lower() in UNREAD_TABLES:
        raise TableError(f"{path}: save it as .xlsx or .csv; {path.suffix} is not read")
    if not suffix:
        raise TableError(f"{path}: unknown table format; known are {', '.join(SUFFIXES)} (also .gz)")
    if not path.is_file():
        raise TableError(f"{path} is no regular file" if path.exists() else f"{path} does not exist")
    if suffix in PARQUET:
        return _parquet(path)
    if suffix in EXCEL:
        return _excel(path)
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
        line = next((line for line in stream if line.strip()), "")
    if not line:
        raise TableError(f"{path}: empty file, no header line")
    delimiter = max("\t" if suffix == ".tsv" else ",", ";", "\t", key=line.count)
    columns = _header(path, next(csv.reader([line], delimiter=delimiter)))
    return Rows(columns, _delimited_rows(path, encoding, delimiter, columns), typed=False)


def _header(path: Path, names: list[str]) -> tuple[str, ...]:
    """Column names, trimmed; those without one are `column_3`."""
    names = [name.strip() for name in names]
    try:
        check_text("".join(names))
    except UnusableError as error:
        raise TableError(f"{path}: header: {error}") from error
    doubled = [name for i, name in enumerate(names) if name and name in names[:i]]
    if doubled:
        raise TableError(f"{path}: column {doubled[0]!r} occurs more than once")
    return tuple(name or f"column_{i}" for i, name in enumerate(names))


def _delimited_rows(path: Path, encoding: str, delimiter: str, columns: tuple[str, ...]) -> Iterator[Row]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open_text(path, encoding) as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            header = next(reader)
            while not any(name.strip() for name in header):  # blank lines above the header
                header = next(reader)
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
    return Row(source, row, _problem("".join(cells)))


def _problem(text: str) -> str:
    try:
        check_text(text)
    except UnusableError as error:
        return str(error)
    return ""


def _json(path: Path, encoding: str) -> Rows:
    """JSON lines, or one JSON document: a list of objects, or an object of such lists or of objects by their id.

    The columns are the union over all rows, so the rows are read twice.
    """
    lines = path.suffixes[-1 - (path.suffix.lower() == ".gz")].lower() != ".json" or _is_lines(path, encoding)
    read: Callable[[], Iterator[Row]] = (
        (lambda: _json_lines(path, encoding)) if lines else _document(path, encoding).__iter__
    )
    found = False
    columns: dict[str, None] = {}
    for row in read():
        found = True
        columns.update(dict.fromkeys(row.cells))
    if not found:
        raise TableError(f"{path}: empty file")
    _header(path, list(columns))
    return Rows(tuple(columns), read(), typed=True)


def _is_lines(path: Path, encoding: str) -> bool:
    """Whether a file holds an object a line, and is not one document: a list, or an object that holds all rows."""
    with _open_text(path, encoding) as stream:
        filled = (line for line in stream if line.strip())
        first, second = next(filled, ""), next(filled, "")
    try:
        whole = json.loads(first)
    except (ValueError, RecursionError):
        return not first.lstrip().startswith(("[", "{"))
    if not isinstance(whole, dict):
        return False
    return bool(second) or not all(isinstance(part, list | dict) for part in whole.values())


def _document(path: Path, encoding: str) -> list[Row]:
    with _open_text(path, encoding) as stream:
        text = stream.read()
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise TableError(f"{path}: malformed JSON ({error})") from error
    except RecursionError as error:
        raise TableError(f"{path}: malformed JSON (nested too deeply)") from error
    return [_object(source, item) for source, item in _items(path.name, whole)]


def _items(name: str, whole: object) -> Iterator[tuple[str, object]]:
    """(source, row) of a JSON document; an object's key becomes the row's `id` where the row has none."""
    if isinstance(whole, list):
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(whole))
        return
    for key, part in whole.items() if isinstance(whole, dict) else ():
        if isinstance(part, list):
            yield from ((f"{name}[{key}][{i}]", item) for i, item in enumerate(part))
        else:
            yield f"{name}[{key}]", {"id": key, **part} if isinstance(part, dict) else part


def _json_lines(path: Path, encoding: str) -> Iterator[Row]:
    with _open_text(path, encoding) as stream:
        for number, line in enumerate(stream, start=1):
            source = f"{path.name}:{number}"
            if not line.strip():
                continue
            problem = _problem(line)
            if problem:
                yield Row(source, {}, problem)
                continue
            try:
                yield _object(source, json.loads(line))
            except ValueError as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else "unreadable number"
                yield Row(source, {}, f"malformed JSON ({reason})")
            except RecursionError:
                yield Row(source, {}, "malformed JSON (nested too deeply)")


def _object(source: str, item: object) -> Row:
    if isinstance(item, dict):
        return Row(source, item)
    return Row(source, {}, f"expected a JSON object, found {type(item).__name__}")


def _parquet(path: Path) -> Rows:
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet ({error})") from error
    _header(path, schema.names)
    size = _BINARY_BATCH if any(_holds_bytes(field.type) for field in schema) else _BATCH

    def rows() -> Iterator[Row]:
        number = 0
        try:
            with file:
                for batch in file.iter_batches(size):
                    for cells in pa.Table.from_batches([batch.cast(_readable(schema))]).to_pylist():
                        yield Row(f"{path.name}:{number}", cells)
                        number += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            raise TableError(f"{path}: row {number} and those behind it cannot be read ({error})") from error

    return Rows(tuple(schema.names), rows(), typed=True)


def _readable(schema: pa.Schema) -> pa.Schema:
    """`schema` with dates and times as text: Python's own are coarser than Arrow's."""
    types = [
        pa.string() if pa.types.is_temporal(f.type) and not pa.types.is_duration(f.type) else f.type for f in schema
    ]
    return pa.schema([pa.field(f.name, kind) for f, kind in zip(schema, types, strict=True)])


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))


def _excel(path: Path) -> Rows:
    """The first sheet of a workbook: its first row with a cell is the header, formulas are their last results."""
    try:
        import openpyxl
    except ImportError as error:
        raise TableError(
            f"{path}: Excel needs openpyxl: pip install 'medtrim[excel]', or save it as .csv"
        ) from error
    from zipfile import BadZipFile

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, OSError, KeyError, ValueError) as error:
        raise TableError(f"{path} cannot be read as an Excel workbook ({type(error).__name__})") from error
    sheet = book.worksheets[0] if book.worksheets else None
    lines = enumerate(sheet.iter_rows(values_only=True), start=1) if sheet is not None else iter(())
    header = next((cells for _, cells in lines if any(cell is not None for cell in cells)), None)
    if header is None:
        raise TableError(f"{path}: empty sheet, no header line")
    columns = _header(path, ["" if cell is None else str(cell) for cell in header])

    def rows() -> Iterator[Row]:
        for number, cells in lines:
            if any(cell is not None for cell in cells):
                # A date is the day it shows, in ISO form.
                values = [cell.isoformat(sep=" ") if isinstance(cell, datetime) else cell for cell in cells]
                yield Row(f"{path.name}:{number}", dict(zip(columns, values, strict=False)))
        book.close()

    return Rows(columns, rows(), typed=True)
