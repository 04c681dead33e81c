"""The command line: the only package that prints. Commands import what they need when they run."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, NoReturn

import typer

from medtrim.cli.console import out, warn
from medtrim.errors import MedTrimError
from medtrim.types import medtrim_version
from medtrim.types.outputs import describe

app = typer.Typer(
    name="medtrim",
    help="Align chest X-rays with their reports by what the reports say: disease, side, zone, size, severity.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold report text
    rich_markup_mode="rich",
)


# Modules of this package whose `register(app)` adds their commands, in the order of `medtrim --help`.
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
    "encoders",
    "push",
    "evaluate",
    "experiment",
    "index",
    "search",
    "serve",
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


def main(commands: typer.Typer = app) -> None:
    """Entry point: a `MedTrimError`, or what the system refuses, ends the command with a line and exit code 2."""
    # Arrow's own allocators keep what was freed; at 200,000 studies that is 100 MB and more.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        commands()
    except MedTrimError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {describe(error)}" if error.filename is not None else describe(error))


def _fail(reason: str) -> NoReturn:
    warn(reason, label="error:", style="red")
    sys.exit(2)
