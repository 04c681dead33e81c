"""`medtrim mine`: triplets from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import err, out, progress_bar

if TYPE_CHECKING:
    from medtrim.mining.recipe import Recipe
    from medtrim.mining.triplets import MinedTriplets


def register(app: typer.Typer) -> None:
    """Add `medtrim mine`."""
    app.command("mine")(mine)


def mine(
    annotations: Annotated[Path, typer.Argument(help="Annotations table (Parquet), as `medtrim annotate` writes.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Triplets table to write (Parquet).")],
    config: Annotated[Path | None, typer.Option(help="Mining recipe (YAML); flags override it.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Pools to draw (pool miner).")] = None,
    pool_size: Annotated[int | None, typer.Option(help="Studies in a pool.")] = None,
    mini_pools: Annotated[int | None, typer.Option(help="Mini-pools drawn from each pool.")] = None,
    mini_pool_size: Annotated[int | None, typer.Option(help="Studies in a mini-pool.")] = None,
    semi_hard: Annotated[float | None, typer.Option(help="Lowest score of a semi-hard negative.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="A negative scores below this.")] = None,
    p_semi_hard: Annotated[float | None, typer.Option(help="Share of negatives chosen semi-hard.")] = None,
    mode: Annotated[str | None, typer.Option(help="Score: faithful (the paper's code) or symmetric.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Mine (anchor, positive, negative) triplets by the similarity of the studies' reports."""
    import numpy as np

    from medtrim.mining.pool import mine_pools
    from medtrim.mining.reading import read_encoded
    from medtrim.mining.recipe import load_recipe
    from medtrim.types.tables import write_table

    flags = {
        "iterations": iterations,
        "pool_size": pool_size,
        "mini_pools": mini_pools,
        "mini_pool_size": mini_pool_size,
        "semi_hard": semi_hard,
        "ceiling": ceiling,
        "p_semi_hard": p_semi_hard,
    }
    recipe = load_recipe(config, options=flags, score={"mode": mode})
    _notes(recipe)
    corpus = read_encoded(annotations, recipe.score)
    for note in corpus.notes:
        err.print(f"[yellow]note:[/yellow] {note}")
    with progress_bar("mining") as progress:
        mined = mine_pools(corpus.encoded, recipe.options, np.random.default_rng(seed), progress=progress)
    write_table(
        mined.to_table(corpus.encoded.study_ids), output, corpus.provenance(recipe.to_dict(), seed, mined.counts)
    )
    _summary(mined, output, len(corpus.encoded))


def _notes(recipe: Recipe) -> None:
    total = recipe.score.weights.total
    if abs(total - 1) > 1e-9:
        err.print(
            f"[yellow]note:[/yellow] the score weights sum to {total:g}, so scores range from 0 to {total:g}; "
            "the thresholds are on that scale"
        )


def _summary(mined: MinedTriplets, output: Path, studies: int) -> None:
    out.print(f"{len(mined):,} triplets from {studies:,} studies → {output}")
    shown = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in mined.counts.items())
    out.print(f"  {shown}")
    if len(mined):
        means = f"positive {mined.positive_score.mean():.3f}, negative {mined.negative_score.mean():.3f}"
        out.print(f"  mean score: {means}")
