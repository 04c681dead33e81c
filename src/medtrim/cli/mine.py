"""`medtrim mine`: triplets from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import lock_outputs, progress_bar, say, warn

if TYPE_CHECKING:
    from medtrim.mining.reading import EncodedCorpus
    from medtrim.mining.recipe import Recipe
    from medtrim.mining.triplets import MinedTriplets

MANY = 1000  # uses of one study as a negative that a user should hear of
POOL, CORPUS = "Pool miner (--miner pool, the paper's)", "Corpus miner (--miner corpus, exact)"


def register(app: typer.Typer) -> None:
    """Add `medtrim mine`."""
    app.command("mine")(mine)


def mine(
    context: typer.Context,
    annotations: Annotated[Path, typer.Argument(help="Annotations table (Parquet), as `medtrim annotate` writes.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Triplets table to write (Parquet).")],
    config: Annotated[Path | None, typer.Option(help="Mining recipe (YAML); flags override it.")] = None,
    miner: Annotated[str | None, typer.Option(help="pool or corpus; default: pool.")] = None,
    mode: Annotated[str | None, typer.Option(help="Score: faithful (the paper's code) or symmetric.")] = None,
    semi_hard: Annotated[float | None, typer.Option(help="Lowest score of a semi-hard negative.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="A semi-hard negative scores below this.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Mine among the studies of this split only, such as train; needs --studies.")
    ] = None,
    studies: Annotated[
        Path | None, typer.Option(help="Studies table (Parquet), for --split and --other-patients.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    iterations: Annotated[int | None, typer.Option(help="Pools to draw.", rich_help_panel=POOL)] = None,
    pool_size: Annotated[int | None, typer.Option(help="Studies in a pool.", rich_help_panel=POOL)] = None,
    mini_pools: Annotated[int | None, typer.Option(help="Mini-pools a pool.", rich_help_panel=POOL)] = None,
    mini_pool_size: Annotated[int | None, typer.Option(help="Studies a mini-pool.", rich_help_panel=POOL)] = None,
    p_semi_hard: Annotated[
        float | None, typer.Option(help="Share of negatives chosen semi-hard.", rich_help_panel=POOL)
    ] = None,
    drop_equal: Annotated[
        bool | None, typer.Option(help="Leave out negatives as alike as the positive.", rich_help_panel=POOL)
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="semi-hard, hardest or stratified.", rich_help_panel=CORPUS)
    ] = None,
    positives: Annotated[int | None, typer.Option(help="Positives an anchor.", rich_help_panel=CORPUS)] = None,
    negatives: Annotated[int | None, typer.Option(help="Negatives an anchor.", rich_help_panel=CORPUS)] = None,
    slack: Annotated[
        float | None, typer.Option(help="How far a negative may miss the rule's score.", rich_help_panel=CORPUS)
    ] = None,
    min_positive: Annotated[
        float | None, typer.Option(help="A positive scores above this.", rich_help_panel=CORPUS)
    ] = None,
    attribute_hard: Annotated[
        float | None,
        typer.Option(
            help="Share of anchors with contradictory negatives of the same disease.", rich_help_panel=CORPUS
        ),
    ] = None,
    axis: Annotated[
        list[str] | None, typer.Option(help="Contradictions to use; default: all.", rich_help_panel=CORPUS)
    ] = None,
    anchors: Annotated[int | None, typer.Option(help="Anchors; 0: every study.", rich_help_panel=CORPUS)] = None,
    balanced: Annotated[bool | None, typer.Option(help="Balance over diseases.", rich_help_panel=CORPUS)] = None,
    other_patients: Annotated[
        bool | None, typer.Option(help="Partners from other patients only.", rich_help_panel=CORPUS)
    ] = None,
    engine: Annotated[str, typer.Option(help="local or ray.", rich_help_panel=CORPUS)] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes, or Ray actors.", rich_help_panel=CORPUS)] = 1,
    restart: Annotated[
        bool, typer.Option(help="Forget the shards of an unfinished run.", rich_help_panel=CORPUS)
    ] = False,
) -> None:
    """Mine (anchor, positive, negative) triplets by the similarity of the studies' reports."""
    import shutil

    from medtrim.errors import ConfigError
    from medtrim.mining.corpus_config import CorpusConfig
    from medtrim.mining.mine_corpus import mine as run
    from medtrim.mining.reading import read_encoded, read_patients
    from medtrim.mining.recipe import load_recipe
    from medtrim.types.outputs import check_table_output

    check_table_output(output, annotations, config, studies)
    lock_outputs(context, output)
    options = {
        "miner": miner,
        "semi_hard": semi_hard,
        "ceiling": ceiling,
        "iterations": iterations,
        "pool_size": pool_size,
        "mini_pools": mini_pools,
        "mini_pool_size": mini_pool_size,
        "p_semi_hard": p_semi_hard,
        "drop_equal": drop_equal,
        "strategy": strategy,
        "positives": positives,
        "negatives": negatives,
        "slack": slack,
        "min_positive": min_positive,
        "attribute_hard": attribute_hard,
        "axes": axis or None,
        "anchors": anchors,
        "balanced": balanced,
        "other_patients": other_patients,
    }
    recipe = load_recipe(config, options=options, score={"mode": mode})
    total = recipe.score.weights.total
    if abs(total - 1) > 1e-9:
        _note(f"the score weights sum to {total:g}: scores and thresholds are on a scale from 0 to {total:g}")
    if split is not None and studies is None:
        raise ConfigError("--split needs --studies, the table that holds the splits")
    corpus = read_encoded(annotations, recipe.score, split=split, studies=studies)
    for note in (*corpus.notes, *_ontology_note(corpus)):
        _note(note)
    patients = None
    if isinstance(recipe.options, CorpusConfig) and recipe.options.other_patients:
        if studies is None:
            raise ConfigError("--other-patients needs --studies, the table that holds the patients")
        patients = read_patients(studies, corpus.encoded.study_ids)
    shards = output.with_name(output.name + ".shards")
    if restart:
        shutil.rmtree(shards, ignore_errors=True)
    with progress_bar("mining") as progress:
        mined = run(
            corpus.encoded,
            recipe.options,
            seed=seed,
            patients=patients,
            contradictions=corpus.contradictions,
            engine=engine,
            workers=workers,
            shards=shards,
            progress=progress,
        )
    _finish(mined, corpus, recipe, output, seed)
    shutil.rmtree(shards, ignore_errors=True)


def _finish(mined: MinedTriplets, corpus: EncodedCorpus, recipe: Recipe, output: Path, seed: int) -> None:
    import numpy as np

    from medtrim.types.tables import write_table

    table = mined.to_table(corpus.encoded.study_ids)
    write_table(table, output, corpus.provenance(recipe.to_dict(), seed, mined.counts))
    studies, distinct = len(corpus.encoded), corpus.encoded.distinct
    say(f"{len(mined):,} triplets → {output}")
    where = f" of split {corpus.split}" if corpus.split else ""
    say(f"  {studies:,} studies{where}, {distinct:,} distinct annotations")
    shown = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in mined.counts.items())
    say(f"  {shown}")
    means = f"positives {mined.positive_score.mean():.3f}, negatives {mined.negative_score.mean():.3f}"
    say(f"  mean score: {means}")
    positive, negative = (int(np.bincount(mined.indices[:, role]).max()) for role in (1, 2))
    say(f"  one study is a positive at most {positive:,} times, a negative at most {negative:,} times")
    if recipe.miner == "corpus" and negative > MANY:
        _note(f"one study is the negative of {negative:,} triplets; `--slack 0.05` spreads them")


def _ontology_note(corpus: EncodedCorpus) -> list[str]:
    """What to say where the annotations were made with another version of the ontology that is installed."""
    from medtrim.entities import load_ontology

    made, installed = corpus.ontology, load_ontology().ref
    if made is None or made.name != installed.name or made == installed:
        return []
    return [
        f"the annotations were made with {made.name} {made.version} ({made.hash[:12]}), installed is "
        f"{installed.version} ({installed.hash[:12]}); mining goes by the annotations"
    ]


def _note(text: str) -> None:
    warn(text, label="note:")
