"""`medtrim push`: a checkpoint to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import say, warn

if TYPE_CHECKING:
    from medtrim.models.hub import Push

_PERMISSION = (
    "weights may hold traces of the reports and images they were trained on, and a tokenizer that was trained on "
    "them lists words of the reports in clear: push a model of patient data only with the permission of those who "
    "answer for the data"
)


def register(app: typer.Typer) -> None:
    """Add `medtrim push`."""
    app.command("push")(push)


def push(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder, of a run OUT/model.")],
    repo_id: Annotated[str, typer.Argument(help="Hub name: OWNER/NAME.")],
    private: Annotated[
        bool,
        typer.Option(
            "--private/--public",
            help="Who can see a repository that is made for it; one that is public already needs --public.",
        ),
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether there is permission.")] = False,
) -> None:
    """Send a trained model with tokenizer, image processor and model card to the Hugging Face hub."""
    from medtrim.models.hub import plan_push, send_push
    from medtrim.training.card import card_for_hub

    warn(_PERMISSION, label="note:")
    planned = plan_push(
        checkpoint,
        repo_id,
        card=lambda image_size: card_for_hub(checkpoint, repo_id, image_size=image_size),
        private=private,
        dry_run=dry_run,
    )
    say(f"{repo_id} ({_seen(planned)}), {planned.size / 2**20:,.1f} MiB:")
    for name in planned.files:
        say(f"  {name}")
    if dry_run:
        return
    if not yes:
        typer.confirm("Is there permission, and shall they be sent?", abort=True)
    say(f"sent → {send_push(planned).url}")


def _seen(planned: Push) -> str:
    visibility = "private" if planned.private else "public"
    if planned.exists is None:
        return f"{visibility} if it is new; whether it exists could not be asked"
    return f"{visibility}, exists already" if planned.exists else f"{visibility}, new"
