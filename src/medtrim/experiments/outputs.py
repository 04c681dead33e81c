"""What a suite made in its folder: nothing else there is ever replaced or removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from medtrim.errors import ConfigError
from medtrim.types.jsonfile import read_json, write_json

OUTPUTS = "outputs.json"


class Outputs:
    """The files and folders that a suite made in `folder`, by name from it, as `outputs.json` lists them.

    A name is listed before anything is written under it, so that what an interrupted suite left is known to be
    its own. One process owns the list: the one that runs the suite, before it starts any worker. A worker writes
    into its run's folder alone and removes nothing but its own checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def claimed(self) -> tuple[str, ...]:
        """The names listed so far."""
        names = read_json(self.folder / OUTPUTS).get("outputs", ())
        return tuple(str(name) for name in names) if isinstance(names, list) else ()

    def check(self, names: Iterable[str]) -> None:
        """See that each of `names` is either listed or not there.

        Raises:
            ConfigError: something is in its place that the suite did not make, `outputs.json` included.
        """
        record = self.folder / OUTPUTS
        if is_there(record) and not isinstance(read_json(record).get("outputs"), list):
            raise _foreign(record)
        ours = set(self.claimed)
        for name in names:
            if name not in ours and is_there(self.folder / name):
                raise _foreign(self.folder / name)

    def claim(self, names: Iterable[str]) -> None:
        """List `names`, before they are written.

        Raises:
            ConfigError: as `check`; nothing is listed then.
        """
        names = tuple(names)
        self.check(names)
        listed = list(dict.fromkeys([*self.claimed, *names]))
        if listed != list(self.claimed):
            write_json(self.folder / OUTPUTS, {"outputs": listed})

    def remove(self, name: str) -> None:
        """Remove what the suite made under `name`, as far as it is there.

        Raises:
            ConfigError: the name is not listed.
        """
        if name not in self.claimed:
            raise _foreign(self.folder / name)
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def check_source(self, source: Path, names: Iterable[str]) -> None:
        """See that `source` is neither one of the outputs `names` nor inside one.

        Raises:
            ConfigError: it is; a run would replace what it reads.
        """
        for name in (*names, OUTPUTS):
            place = self.folder / name
            if source.resolve().is_relative_to(place.resolve()):
                raise ConfigError(f"{source} lies in {place}, which this run would write: choose another folder")


def is_there(path: Path) -> bool:
    """Whether anything has this name, a broken link included."""
    return path.exists() or path.is_symlink()


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there and was not made by this run: choose another folder")
