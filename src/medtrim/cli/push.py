"""`medtrim push`: a checkpoint to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medtrim.cli.console import say, warn

_PERMISSION = (
    "weights may hold traces of the reports and images they were trained on: push a model of patient data only "
    "with the permission of whoever answers for the data"
)


def register(app: typer.Typer) -> None:
    """Add `medtrim push`."""
    app.command("push")(push)


def push(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder, of a run OUT/model.")],
    repo_id: Annotated[str, typer.Argument(help="Hub name: OWNER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who can see a repository that is made for it.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether there is permission.")] = False,
) -> None:
    """Send a trained model with tokenizer, image processor and model card to the Hugging Face hub."""
    from medtrim.models.hub import push_checkpoint
    from medtrim.training.card import card_for_hub

    warn(_PERMISSION, label="note:")
    planned = push_checkpoint(
        checkpoint, repo_id, card=card_for_hub(checkpoint, repo_id), private=private, dry_run=True
    )
    say(f"{repo_id} ({'private' if private else 'public'}), {planned.size / 2**20:,.1f} MiB:")
    for name in planned.files:
        say(f"  {name}")
    if dry_run:
        return
    if not yes:
        typer.confirm("Is there permission, and shall they be sent?", abort=True)
    sent = push_checkpoint(checkpoint, repo_id, card=card_for_hub(checkpoint, repo_id), private=private)
    say(f"sent → {sent.url}")
