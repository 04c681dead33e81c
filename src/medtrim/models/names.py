"""Names of models as others may read them: hub names whole, folders of this machine by their last part."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

SOME_FOLDER = "a local folder"
PACKAGED = "packaged:"  # begins the name of an encoder that a Python package brings
# Where a recipe, and the configurations of transformers, say what a model was loaded from.
SOURCES = ("checkpoint", "vision", "text", "_name_or_path", "name_or_path")
_BLOCK = 1 << 20


def is_local(source: Path | str) -> bool:
    """Whether `source` means a folder of this machine, whether or not there is one, and not a model of the hub.

    A hub name is OWNER/NAME: one slash, no leading dot, slash or tilde. It is taken for a path all the same where
    a folder OWNER exists.
    """
    if isinstance(source, Path) or Path(source).exists() or source.startswith((".", "/", "~")) or "\\" in source:
        return True
    owner, slash, rest = source.partition("/")
    return not slash or not rest or "/" in rest or Path(owner).exists()


def told_name(source: str) -> str:
    """`source` without the folders above it, which tell of a machine and its users; other names as they are."""
    if not is_local(source) or source.startswith(PACKAGED):
        return source
    last = re.split(r"[\\/]", source.rstrip("\\/"))[-1]
    return SOME_FOLDER if last in ("", ".", "..") or last.startswith("~") or ":" in last else last


def told_names(values: Any) -> Any:
    """Plain data with every text under a key of `SOURCES` replaced by its `told_name`, however deep."""
    if isinstance(values, Mapping):
        return {
            key: told_name(value) if key in SOURCES and isinstance(value, str) and value else told_names(value)
            for key, value in values.items()
        }
    return [told_names(value) for value in values] if isinstance(values, list) else values


def renamed(values: Any) -> dict[str, str]:
    """Each text that `told_names` replaces in `values`, with what it is replaced by."""
    return {source: name for source in _sources(values) if (name := told_name(source)) != source}


def _sources(values: Any) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in SOURCES and isinstance(value, str) and value:
                yield value
            else:
                yield from _sources(value)
    elif isinstance(values, list):
        for value in values:
            yield from _sources(value)


def content_mark(source: str) -> str:
    """What stands for the content of a model: SHA-256 of the files of a folder, the name itself of a hub's model.

    A folder has the same mark wherever it lies. One that does not exist is marked by its name.
    """
    folder = Path(source)
    if not is_local(source) or not folder.is_dir():
        return source
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return _digest(tuple((str(p), s.st_size, s.st_mtime_ns) for p in files for s in [p.stat()]))


@lru_cache(maxsize=32)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for name, size, _ in files:
        whole.update(f"{Path(name).name}\0{size}\0".encode())
        with Path(name).open("rb") as stream:
            while block := stream.read(_BLOCK):
                whole.update(block)
    return whole.hexdigest()
