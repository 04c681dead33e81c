"""Which files of a folder a run made: one JSON record a stage in `state/`. What none names is never removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.types.tables import atomic_path

STATE = "state"


class Records:
    """The records of `folder`.

    A record holds `key` (of the stage's inputs), `finished` and `outputs` (names from the folder). It is written
    before a stage writes anything, so that the leavings of a killed one are known as ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The file of the record `name`."""
        return self.folder / STATE / f"{name}.json"

    def read(self, name: str) -> dict[str, Any] | None:
        """The record `name`, if there is one and it is a record."""
        return _read(self.path(name))

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Replace the record `name`, atomically."""
        with atomic_path(self.path(name)) as part:
            part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def check(self, name: str, outputs: Sequence[str]) -> None:
        """See that `outputs` are either not there, or made by an earlier run of the stage `name`.

        Raises:
            ConfigError: something is in their place that no record shows to be ours.
        """
        record = self.read(name)
        if record is None and _there(self.path(name)):
            raise _foreign(self.path(name))
        ours = record["outputs"] if record is not None else ()
        for output in outputs:
            if output not in ours and _there(self.folder / output):
                raise _foreign(self.folder / output)

    def remove(self, name: str, outputs: Sequence[str]) -> None:
        """Remove `outputs` as far as they are there.

        Raises:
            ConfigError: as `check`; nothing is removed then.
        """
        self.check(name, outputs)
        for output in outputs:
            path = self.folder / output
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Let every stage recorded in `folder` run again; only records are changed, and they still say what is ours."""
    records = Records(folder)
    for path in sorted((folder / STATE).glob("*.json")):
        record = _read(path)
        if record is not None:
            records.write(path.stem, {"key": "", "finished": False, "outputs": record["outputs"]})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        return None
    whole = isinstance(record.get("finished"), bool) and isinstance(record.get("outputs"), list)
    return record if whole else None


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there and was not made by this run: choose another folder")
