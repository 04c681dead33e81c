"""`medtrim doctor`: is this machine ready for a run?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from medtrim.cli.console import out

_MARKS = {"good": "[green]✓[/green]", "note": "[yellow]![/yellow]", "bad": "[red]✗[/red]"}


def register(app: typer.Typer) -> None:
    """Add `medtrim doctor`."""
    app.command("doctor")(doctor)


def doctor(
    studies: Annotated[Path | None, typer.Option(help="Studies table whose report lengths to check.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Image cache to look at.")] = None,
    model: Annotated[str | None, typer.Option(help="Preset, or folder or hub name of a checkpoint.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder that a run would write to.")] = Path(),
    checksums: Annotated[bool, typer.Option("--checksums", help="Compare every cached image.")] = False,
) -> None:
    """Check versions, devices, disk, cache, and whether images and reports fit the model. Exits 1 on a fault."""
    from medtrim.training.doctor import examine

    bad = 0
    for check in examine(studies=studies, cache=cache, model=model, out=output, checksums=checksums):
        out.print(f"{_MARKS[check.state]} {escape(check.name)}: {escape(check.seen)}", soft_wrap=True)
        bad += check.state == "bad"
    if bad:
        raise typer.Exit(1)
