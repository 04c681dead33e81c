"""Where outside values come in: one function each for a cell, a path, a text and a file.

What cannot be used raises `UnusableError` with the reason, which becomes the record's reject. Nothing is guessed.
"""

from __future__ import annotations

import codecs
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtrim.errors import TableError

# Cells that writers of tables leave where there is nothing.
EMPTY_CELLS = frozenset({"", "nan", "none", "null", "n/a", "na", "<na>", "nat"})
LARGEST_REPORT = 8 * 2**20
"""Bytes of the largest file that is read as one report."""


class UnusableError(ValueError):
    """A value that cannot be used; the message is the reason of a reject and quotes nothing of a report."""


def cell_text(value: object) -> str:
    """A table cell as trimmed text: NaN, None and their spellings are empty, 5.0 is "5", UTF-8 bytes are read.

    Raises:
        UnusableError: the cell holds a list, an object, a truth value, NUL, or bytes that are no text.
    """
    if value is None or value != value:  # NaN alone differs from itself
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return cell_text(decoded(bytes(value), "utf-8"))
    if isinstance(value, bool | list | tuple | set | Mapping):
        raise UnusableError(f"cell holds {_kind(value)}, text expected")
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    check_text(text)
    return "" if text.lower() in EMPTY_CELLS else text


def check_text(text: str) -> None:
    """Raise `UnusableError` where `text` holds NUL or a lone surrogate, which no table and no terminal can take."""
    if "\x00" in text:
        raise UnusableError("text holds NUL characters: wrong encoding")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:  # what `surrogateescape` makes of a byte that does not fit
            raise UnusableError(wrong_byte(code - 0xDC00)) from None
        raise UnusableError(f"text holds the lone surrogate U+{code:04X}") from None


def wrong_byte(byte: int, encoding: str = "") -> str:
    """The reason of a reject for text in another encoding."""
    return f"byte 0x{byte:02x} is not valid in {encoding or 'the encoding'}; --encoding latin-1 reads such bytes"


def path_text(value: object) -> str:
    """An image path as the table gives it, with `/` between folders where Windows wrote `\\`.

    Raises:
        UnusableError: as `cell_text`.
    """
    return cell_text(value).replace("\\", "/")


def decoded(content: bytes, encoding: str) -> str:
    """`content` as text; a UTF-8 byte-order mark is dropped.

    Raises:
        UnusableError: bytes do not fit.
        TableError: there is no such encoding.
    """
    try:
        codec = codecs.lookup(encoding).name
        return content.decode("utf-8-sig" if codec == "utf-8" else codec)
    except LookupError as error:
        raise TableError(str(error)) from error
    except UnicodeDecodeError as error:
        raise UnusableError(wrong_byte(error.object[error.start], encoding)) from error
    except UnicodeError as error:
        raise UnusableError(f"file cannot be read as {encoding}") from error


def file_bytes(path: Path, *, largest: int, what: str = "file") -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Looked at before it is opened, so that a pipe, a device or a folder is refused and not waited for.

    Raises:
        UnusableError: it is missing, no regular file, too large, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnusableError(f"{what} is no regular file")
        if found.st_size > largest:
            raise UnusableError(f"{what} has {found.st_size:,} bytes, more than the {largest:,} allowed")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise UnusableError(f"{what} is missing") from None
    except OSError as error:
        raise UnusableError(f"{what} cannot be read ({error.strerror})") from error
    except ValueError as error:  # a path that the system cannot even look up
        raise (
            error if isinstance(error, UnusableError) else UnusableError(f"{what} has an impossible name")
        ) from error
    if len(content) > largest:  # it grew meanwhile
        raise UnusableError(f"{what} has more than the {largest:,} bytes allowed")
    return content


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return "an object" if isinstance(value, Mapping) else "a list"
