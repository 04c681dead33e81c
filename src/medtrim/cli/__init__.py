"""The command line: the only room that prints. Commands import what they need when they run."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from medtrim.cli.console import err, out
from medtrim.errors import MedTrimError
from medtrim.types import medtrim_version

app = typer.Typer(
    name="medtrim",
    help="Align chest X-rays with their reports by what the reports say: disease, side, zone, size, severity.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold report text
    rich_markup_mode="rich",
)


# Modules of this room whose `register(app)` adds their commands, in the order of `medtrim --help`.
COMMANDS: tuple[str, ...] = (
    "demo",
    "annotate",
    "explain",
    "ontology",
    "data",
    "mine",
    "score",
    "audit",
    "phantom",
    "train",
    "doctor",
    "evaluate",
    "experiment",
    "search",
)


def _version(value: bool) -> None:
    if value:
        out.print(f"medtrim {medtrim_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for _name in COMMANDS:
    importlib.import_module(f"medtrim.cli.{_name}").register(app)


def main() -> None:
    """Entry point: a `MedTrimError` ends the command with its message and exit code 2."""
    try:
        app()
    except MedTrimError as error:
        err.print(f"[red]error:[/red] {error}", markup=True)
        sys.exit(2)
