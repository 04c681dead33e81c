"""What every command shares: the console, progress bars, and how errors end a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from medtrim.errors import ConfigError
from medtrim.types.outputs import sole_writer

if TYPE_CHECKING:
    from medtrim.types.tables import Progress as ProgressCall

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


_STEERING = "\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"  # what Python counts as space and a terminal does not


def printable(text: str) -> str:
    r"""`text` with control characters written out: an id or a file name must not steer the terminal.

    >>> print(printable("study \x1b[31m7"))
    study \x1b[31m7
    """
    return "".join(c if c.isprintable() or (c.isspace() and c not in _STEERING) else ascii(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Print a line as it is: brackets in a path or an id are no markup."""
    out.print(printable(text), markup=False, soft_wrap=True)


def warn(text: str, *, label: str = "", style: str = "yellow") -> None:
    """Print a line on standard error: `label` in colour and then `text`, or all of it without a label."""
    text = printable(text)
    shown = Text.assemble((label, style), " ", text) if label else Text(text, style)
    err.print(shown, soft_wrap=True)


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressCall]:
    """A live bar on standard error; yields the `(done, total)` call that library functions take.

    Where nothing was to be done, and so nothing counted, no bar is left behind.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

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
        if bar.tasks[task].total is None:
            bar.update(task, visible=False)


def lock_outputs(context: typer.Context, path: Path, *companions: Path) -> None:
    """Keep every other command from writing `path` until this one has ended; see `types.outputs.sole_writer`."""
    context.with_resource(sole_writer(path, *companions))


def pair(text: str, form: str) -> tuple[str, str]:
    """The name and the value of `NAME=VALUE`; a `ConfigError` that says which `form` is expected."""
    name, _, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise ConfigError(f"{form} expected, not {text!r}")
    return name, value


def shares(text: str) -> dict[str, float]:
    """`train=0.8,val=0.1,test=0.1` as a mapping."""
    try:
        return {name: float(share) for name, share in (pair(p, "--split NAME=SHARE,…") for p in text.split(","))}
    except ValueError as error:
        raise ConfigError(f"--split takes shares such as train=0.8,val=0.1,test=0.1, not {text!r}") from error


def default_command(name: str) -> type[TyperGroup]:
    """A group whose command `name` is meant where the first argument is no command's name."""

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Put the default command before arguments that begin with no command's name."""
            if args and args[0] not in self.commands and args[0] != "--help":
                args = [name, *args]
            return super().parse_args(ctx, args)

    return Group


def quiet_loading() -> None:
    """Keep transformers' own bars off the terminal: they say how weights load, not what the user waits for."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]


def report_rejects(count: int, path: str, *, strict: bool) -> None:
    """Say how many records were rejected and where they are listed; exit 1 when `strict`."""
    if not count:
        return
    warn(f"{count} record(s) could not be used; see {path}")
    if strict:
        raise typer.Exit(1)
