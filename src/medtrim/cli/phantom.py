"""`medtrim phantom`: make the built-in corpus."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from medtrim.cli.console import lock_outputs, progress_bar, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("phantom")(phantom)


def phantom(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for studies.parquet and images/.")],
    studies: Annotated[int, typer.Option("--studies", "-n", min=1, help="How many studies.")] = 6000,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Pixels along an image's edge.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    world: Annotated[
        str,
        typer.Option(
            help="The generator: A (development), B (validation), C (kept for judging: choose nothing on it)."
        ),
    ] = "A",
    workers: Annotated[int, typer.Option(min=1, help="Processes; they change nothing but the time.")] = 2,
) -> None:
    """Draw chest radiographs with known findings and write a report for each."""
    from medtrim.data.phantom import make_corpus
    from medtrim.types.outputs import check_output, check_output_folder

    check_output_folder(output)
    check_output(output / "studies.parquet")
    lock_outputs(context, output)
    start = time.perf_counter()
    with progress_bar("drawing") as progress:
        make_corpus(studies, output, seed=seed, size=size, world=world, workers=workers, progress=progress)
    seconds = time.perf_counter() - start
    say(f"{studies} studies in {seconds:.1f} s ({studies / seconds:.0f}/s) → {output / 'studies.parquet'}")
