"""Can it be written, does it overwrite what is being read, does another process write it? Asked before the work."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medtrim.errors import ConfigError, TableError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_OTHER_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".feather", ".arrow", ".gz")


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


def check_table_output(path: Path | str, *inputs: Path | str | None) -> None:
    """`check_output` of a table, which is written as Parquet whatever its name says.

    Raises:
        ConfigError: as `check_output`, or the name is another format's.
    """
    path = Path(path)
    check_output(path, *inputs)
    if path.suffix.lower() in _OTHER_TABLES:
        raise ConfigError(f"{path}: tables are written as Parquet; name it {path.with_suffix('.parquet').name}")


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
def writing(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn the system's refusal to write `path` (no room, no permission) into a `TableError` that names it.

    Args:
        kinds: errors in which a library written in Rust hands the system's on, `… (os error 28)` in their text;
            others of the same kind stay what they are.
    """
    try:
        yield
    except OSError as error:
        raise TableError(f"{path} cannot be written ({describe(error)})") from error
    except kinds as error:
        code = _OS_ERROR.search(str(error))
        if code is None:
            raise
        raise TableError(f"{path} cannot be written ({os.strerror(int(code.group(1)))})") from error


@contextmanager
def published_together(folder: Path | str, names: Sequence[str]) -> Iterator[Path]:
    """A private folder whose files take the places of `names` in `folder` once the block has ended well.

    The last of `names` says that the others belong together: it is removed first and comes last, so that a kill
    between leaves a folder without it, never files of two runs that look like one. Until then the older files stay
    whole. Of `names`, those that the block did not write are removed.

    Raises:
        TableError: the system refuses (no permission, no room); the message names `folder`.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder, prefix=f".{folder.name}.", suffix=".part"))
        try:
            yield part
            umask = os.umask(0)
            os.umask(umask)
            (folder / names[-1]).unlink(missing_ok=True)
            for name in names:
                if (part / name).exists():
                    (part / name).chmod(0o666 & ~umask)
                    (part / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def sole_writer(path: Path | str, *companions: Path | str) -> Iterator[None]:
    """Hold the lock of an output, a file or a folder, while the block runs; every command that writes takes it.

    The lock is `.NAME.lock` beside `path`, or in the folder `path` where the folder above it cannot be written to.
    The system releases it when the process ends, however it ends. Once it is held, the partial outputs that a
    killed run left of `path` and of `companions` (further outputs of the same command) are removed: they may hold
    reports.

    Raises:
        ConfigError: another process (or another block of this one) holds the lock, or it cannot be made.

    Example:
        >>> with sole_writer(output, rejects):
        ...     write_table(table, output, provenance)
    """
    import fcntl  # only POSIX systems have it

    path = Path(path)
    lock = _lock_path(path)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = lock.open("a+", encoding="utf-8")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(lock, file.fileno()):
                break
            file.close()  # its holder removed it between our opening and locking it
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read(40).strip()
        file.close()
        raise ConfigError(
            f"{path} is being written by {holder or 'another process'}: wait for it or choose another output"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({describe(error)})") from error
    with file:
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        try:
            for output in (path, *map(Path, companions)):
                _remove_parts(output)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock_path(path: Path) -> Path:
    """Links are followed, so that two names of one output have one lock."""
    path = path.resolve()
    inside = path.is_dir() and not os.access(path.parent, os.W_OK)
    return path / ".lock" if inside else path.with_name(f".{path.name}.lock")


def _is(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_parts(path: Path) -> None:
    """Remove `.NAME.RANDOM.part`, as `tempfile` names them, beside `path` and in it."""
    pattern = f".{glob.escape(path.name)}.*.part"
    for part in (*path.parent.glob(pattern), *path.glob(pattern)):
        if "." in part.name.removeprefix(f".{path.name}.").removesuffix(".part"):
            continue  # of another output, whose name begins like this one's
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


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
