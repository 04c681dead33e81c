"""Can it be written, and does it overwrite what is being read? Asked before the work, not after."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medtrim.errors import ConfigError, TableError


def check_output(path: Path | str, *inputs: Path | str | None) -> None:
    """Check that the file `path` can be written and is none of `inputs` (None: an input that was not given).

    An older file at `path` is no obstacle. Links are followed: two names of one file are the same file.

    Raises:
        ConfigError: `path` is an input, a folder, below a file, or in a folder that cannot be written to.
    """
    path = Path(path)
    for source in inputs:
        if source is not None and _same(path, Path(source)):
            raise ConfigError(f"{path} is read and would be overwritten: choose another output")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file to write")
    _probe(path, path.parent)


def check_output_folder(path: Path | str) -> None:
    """Check that files can be written into the folder `path`, which need not exist.

    Raises:
        ConfigError: `path` is a file or below one, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: name a folder to write to")
    _probe(path, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` (no room, no permission) into a `TableError` that names it."""
    try:
        yield
    except OSError as error:
        raise TableError(f"{path} cannot be written ({describe(error)})") from error


def describe(error: OSError) -> str:
    """The system's words for `error`, such as `No space left on device`; without numbers or Python's decoration."""
    if error.errno is not None:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _same(path: Path, source: Path) -> bool:
    if path.exists() and source.exists():
        return path.samefile(source)
    return path.resolve() == source.resolve()


def _probe(path: Path, folder: Path) -> None:
    """Make and drop a file in `folder`, or in the nearest folder above it that exists.

    Permissions alone do not tell: the administrator passes every check of them, a read-only or virtual file system
    refuses all the same.
    """
    try:
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise ConfigError(f"{path} cannot be written: {folder} is a file, not a folder")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({describe(error)})") from error
