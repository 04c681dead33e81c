"""A whole corpus mined: anchors drawn, cut into shards, mined by an engine, kept, put together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.corpus import CorpusMiner, ShardTriplets, ordered
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.encoding import EncodedStudies, check_corpus
from medtrim.mining.engines import run_shards
from medtrim.mining.plan import cut_shards, draw_anchors
from medtrim.mining.pool import mine_pools
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.store import ShardStore, fingerprint
from medtrim.mining.triplets import MinedTriplets
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions
from medtrim.types.tables import Progress, no_progress


def mine(
    encoded: EncodedStudies,
    options: PoolConfig | CorpusConfig,
    *,
    seed: int = 0,
    patients: Integer[np.ndarray, " studies"] | None = None,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
    engine: str = "local",
    workers: int = 1,
    shards: Path | None = None,
    progress: Progress = no_progress,
) -> MinedTriplets:
    """Triplets by the miner whose `options` these are: `mine_pools`, or `mine_corpus` with its arguments.

    Raises:
        MiningError: as those two.
        ConfigError: as those two, or an engine or workers for the pool miner.
    """
    if isinstance(options, PoolConfig):
        if engine != "local" or workers != 1:
            raise ConfigError("the pool miner runs in one process; engine and workers are the corpus miner's")
        return mine_pools(encoded, options, np.random.default_rng(seed), progress=progress)
    return mine_corpus(
        encoded,
        options,
        seed=seed,
        patients=patients,
        contradictions=contradictions,
        engine=engine,
        workers=workers,
        shards=shards,
        progress=progress,
    )


def mine_corpus(
    encoded: EncodedStudies,
    config: CorpusConfig | None = None,
    *,
    seed: int = 0,
    patients: Integer[np.ndarray, " studies"] | None = None,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
    engine: str = "local",
    workers: int = 1,
    shards: Path | None = None,
    progress: Progress = no_progress,
) -> MinedTriplets:
    """Exact triplets of every anchor over the whole corpus, in the anchors' order.

    S depends on the annotation alone, so distinct annotations are scored against distinct annotations in blocks;
    memory grows with their number, not with its square. Among studies that score the same one is drawn uniformly.
    The triplets depend on `seed` alone, whatever the engine, the workers and the shards that were there before.

    Args:
        encoded: the corpus.
        config: what to mine.
        seed: of every random choice.
        patients: a number for each study's patient; needed for `config.other_patients`.
        contradictions: the ontology's, for attribute-hard negatives.
        engine: `local` or `ray`.
        workers: processes (`local`) or actors (`ray`).
        shards: a folder in which finished shards are kept, so that a killed run goes on; the caller removes it.
        progress: called with (shards done, shards).

    Raises:
        MiningError: fewer than three studies, all alike, no triplet at all, or `shards` of another run.
        ConfigError: unknown engine or axis.
    """
    config = config or CorpusConfig()
    check_corpus(encoded, least=3)
    anchors = draw_anchors(encoded, config, seed=seed)
    plan = cut_shards(encoded, anchors)
    make = partial(
        CorpusMiner,
        replace(encoded, study_ids=()),
        config,
        seed=seed,
        patients=patients,
        contradictions=_plain(contradictions),
    )
    store = None
    if shards is not None:
        axes = {axis: dict(levels) for axis, levels in contradictions.axes.items()}
        settings = {**config.to_dict(), "score": encoded.config.to_dict(), "seed": seed, "contradictions": axes}
        store = ShardStore(shards, fingerprint(encoded, settings, patients))
    done: dict[int, ShardTriplets] = {}
    missing = []
    for shard in plan:
        if store is not None and store.has(shard.number):
            done[shard.number] = store.read(shard.number)
        else:
            missing.append(shard)
    progress(len(done), len(plan))
    for number, result in run_shards(make, missing, engine=engine, workers=workers):
        if store is not None:
            store.write(number, result)
        done[number] = result
        progress(len(done), len(plan))
    return _whole([done[shard.number] for shard in plan], config)


def _plain(contradictions: Contradictions) -> Contradictions:
    """The same contradictions in dicts, which can be sent to another process (read-only views cannot)."""
    return Contradictions({axis: dict(levels) for axis, levels in contradictions.axes.items()})


def _whole(parts: list[ShardTriplets], config: CorpusConfig) -> MinedTriplets:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.mined.counts)
    whole = ordered(np.concatenate([p.places for p in parts]), [p.mined for p in parts], counts).mined
    if not len(whole):
        raise MiningError(
            f"none of {counts['anchors']} anchors gives a triplet: {counts['no_positive']} have no positive above "
            f"{config.min_positive}, {counts['no_negative']} no negative below {config.ceiling} and the positive"
        )
    return whole
