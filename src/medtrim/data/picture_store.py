"""Images that a table holds itself, as Hugging Face's image columns do, written to files."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from medtrim.data.boundary import UnusableError
from medtrim.data.limits import DEFAULT_LIMITS
from medtrim.types.outputs import writing

# First bytes of a file → its suffix.
_MAGIC = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"II*\x00", ".tif"), (b"MM\x00*", ".tif"))
_DICOM_PREAMBLE = 132


class PictureStore:
    """A folder that image bytes are written to, each under a name made of its content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, value: bytes | Mapping[str, Any]) -> str:
        """Write an image cell, bytes or `{"bytes": …, "path": …}`, and return its absolute path.

        Equal images are one file, so running again writes nothing anew. Where an object holds no bytes its path is
        returned as it is; the name that a file had inside the table is kept in front of the digest.

        Raises:
            UnusableError: there are neither bytes nor a path, or more bytes than an image file may have.
            TableError: the folder cannot be written to.
        """
        named = "" if isinstance(value, bytes) else value.get("path") or ""
        content = value if isinstance(value, bytes) else value.get("bytes")
        if content is None and isinstance(named, str) and named:
            return named.replace("\\", "/")
        if not isinstance(content, bytes) or not content:
            raise UnusableError("image column holds neither bytes nor a path")
        if len(content) > DEFAULT_LIMITS.max_bytes:
            raise UnusableError(
                f"image has {len(content):,} bytes, more than the {DEFAULT_LIMITS.max_bytes:,} allowed"
            )
        stem = "".join(
            c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in PurePosixPath(str(named)).stem
        )
        digest = blake2b(content, digest_size=8).hexdigest()
        file = self.folder / f"{stem[:80]}{'-' if stem else ''}{digest}{_suffix(content)}"
        if not file.exists() or file.stat().st_size != len(content):
            with writing(file):
                self.folder.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        return str(file.absolute())


def _suffix(content: bytes) -> str:
    if content[_DICOM_PREAMBLE - 4 : _DICOM_PREAMBLE] == b"DICM":
        return ".dcm"
    return next((suffix for magic, suffix in _MAGIC if content.startswith(magic)), ".img")
