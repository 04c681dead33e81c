"""What every command shares: the console, progress bars, and how errors end a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from medtrim.types.tables import Progress as ProgressCall

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressCall]:
    """A live bar on standard error; yields the `(done, total)` call that library functions take."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield update


def report_rejects(count: int, path: str, *, strict: bool) -> None:
    """Say how many records were rejected and where they are listed; exit 1 when `strict`."""
    if not count:
        return
    err.print(f"[yellow]{count} record(s) could not be used; see {path}[/yellow]")
    if strict:
        raise typer.Exit(1)
