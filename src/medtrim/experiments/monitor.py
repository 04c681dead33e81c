"""What a caller may watch a pipeline by."""

from __future__ import annotations

from typing import Protocol

from medtrim.types.tables import Progress


class Monitor(Protocol):
    """Told of every stage: that it begins, how far it is, that it has ended.

    Stages of different methods run at the same time; `stage` is their key, `title` what a reader sees.
    """

    def begin(self, stage: str, title: str) -> None:
        """A stage starts."""

    def update(self, stage: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` (0: unknown) units are through; `note` is a word on the state, such as a loss."""

    def end(self, stage: str, title: str, seconds: float, *, reused: bool) -> None:
        """A stage has ended; `reused` where an earlier run had finished it, and then `begin` was not called."""


class Silent:
    """A monitor that watches nothing."""

    def begin(self, stage: str, title: str) -> None:
        """See `Monitor`."""

    def update(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `Monitor`."""

    def end(self, stage: str, title: str, seconds: float, *, reused: bool) -> None:
        """See `Monitor`."""


def progress_of(monitor: Monitor, stage: str) -> Progress:
    """A `Progress` call that reports to `monitor` as `stage`."""

    def update(done: int, total: int) -> None:
        monitor.update(stage, done, total)

    return update
