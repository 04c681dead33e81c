"""`medtrim encoders list`: which pretrained encoders there are, and which this machine has."""

from __future__ import annotations

import typer

from medtrim.cli.console import out, say

encoders_app = typer.Typer(help="Pretrained encoders.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `medtrim encoders`."""
    app.add_typer(encoders_app, name="encoders")


@encoders_app.callback()
def _root() -> None:
    """Keep `list` a command of its own."""


@encoders_app.command("list")
def show() -> None:
    """List encoders for model.vision and model.text: packaged ones, hub names, and your own folders."""
    from rich.table import Column, Table

    from medtrim.models.names import PACKAGED
    from medtrim.models.packaged import ENCODERS, INSTALL, hub_encoders, packaged_problem

    table = Table(
        Column("name", no_wrap=True),
        "side",
        "M parameters",
        "here",
        "licence",
        "trained on",
        box=None,
        pad_edge=False,
    )
    for encoder in ENCODERS.values():
        name = PACKAGED + encoder.name
        here = "yes" if packaged_problem(name) is None else "no"
        table.add_row(name, encoder.side, f"{encoder.parameters:g}", here, encoder.licence, encoder.trained_on)
    for known in hub_encoders():
        table.add_row(known.name, known.side, f"{known.parameters:g}", "hub", known.licence, known.trained_on)
    out.print(table)
    say(f"{PACKAGED}… come by {INSTALL}; hub names are fetched when they are used; a local folder will do too.")
