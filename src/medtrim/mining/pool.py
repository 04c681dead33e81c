"""The paper's miner: random mini-pools, the best-scoring study as positive, a semi-hard one as negative."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Integer

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.blocks import BlockScorer
from medtrim.mining.encoding import EncodedStudies, check_corpus
from medtrim.mining.pairs import pair_scores
from medtrim.mining.pool_choice import TIE_BITS, choose_by_key, to_costs, to_keys, to_scores
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.triplets import MinedTriplets, concatenate
from medtrim.types.tables import Progress, no_progress

__all__ = ["PoolConfig", "mine_pools"]

# Iterations that draw from one random stream. Part of the result: another number gives other triplets.
SHARD = 128
# Up to so many distinct annotations the scores of all pairs are worked out beforehand: two tables of 34 MB at most.
TABLE_LIMIT = 2048


def mine_pools(
    encoded: EncodedStudies,
    config: PoolConfig | None = None,
    rng: np.random.Generator | None = None,
    *,
    workers: int = 1,
    progress: Progress = no_progress,
) -> MinedTriplets:
    """Mine `config.iterations` pools as published (arXiv:2504.15929, §III).

    The triplets depend on `rng` alone, not on the number of `workers` (threads).

    `counts` holds `anchors` (mini-pools drawn), `triplets`, `no_negative` (mini-pools without an admissible
    negative), `equal_scores` (triplets whose negative scores as high as the positive) and `dropped_equal`.

    Raises:
        MiningError: fewer than three studies, or no mini-pool gave a triplet.
    """
    config, rng = config or PoolConfig(), rng or np.random.default_rng(0)
    check_corpus(encoded, least=3)
    lookup = _Lookup(encoded, config)
    starts = range(0, config.iterations, SHARD)
    sizes = [min(SHARD, config.iterations - start) for start in starts]

    def mine(size: int, stream: np.random.Generator) -> MinedTriplets:
        return _mine_shard(encoded, lookup, config, size, stream)

    parts = []
    # Threads, since NumPy lets others run while it computes; shards are joined in order, whichever is ready first.
    with ThreadPoolExecutor(workers) as pool:
        for start, part in zip(starts, pool.map(mine, sizes, rng.spawn(len(sizes))), strict=True):
            parts.append(part)
            progress(min(start + SHARD, config.iterations), config.iterations)
    mined = concatenate(parts)
    if not len(mined):
        raise MiningError(
            f"none of {mined.counts['anchors']} mini-pools holds an admissible negative: every candidate scores "
            f"{config.ceiling} or more against its anchor, or as high as the positive"
        )
    return mined


class _Lookup:
    """Keys and costs of pairs of distinct annotations, worked out beforehand where the tables fit."""

    def __init__(self, encoded: EncodedStudies, config: PoolConfig) -> None:
        if encoded.config.weights.total >= 32:
            raise ConfigError(f"the score weights sum to {encoded.config.weights.total:g}, allowed: less than 32")
        self._encoded = encoded
        self._config = config
        self._width = encoded.distinct
        self._tables: tuple[np.ndarray, np.ndarray] | None = None
        if encoded.distinct <= TABLE_LIMIT:
            keys = to_keys(BlockScorer(encoded).score(np.arange(encoded.distinct))).reshape(-1)
            self._tables = keys, to_costs(keys, config)

    def __call__(self, anchors: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys and costs of each anchor [pools] with its candidates [pools, candidates]."""
        if self._tables is not None:
            pairs = candidates + (anchors * self._width)[:, None]
            return self._tables[0].take(pairs), self._tables[1].take(pairs)
        scores = pair_scores(self._encoded, np.repeat(anchors, candidates.shape[1]), candidates.reshape(-1))
        keys = to_keys(scores.reshape(candidates.shape))
        return keys, to_costs(keys, self._config)


def _mine_shard(
    encoded: EncodedStudies, lookup: _Lookup, config: PoolConfig, iterations: int, rng: np.random.Generator
) -> MinedTriplets:
    studies = len(encoded)
    pool_size = min(config.pool_size, studies)
    mini_size = min(config.mini_pool_size, studies)
    rows = iterations * config.mini_pools
    pools = np.stack([rng.choice(studies, pool_size, replace=False, shuffle=False) for _ in range(iterations)])
    members = draw_subsets(rows, pool_size, mini_size, rng)
    members += np.repeat(np.arange(iterations) * pool_size, config.mini_pools)[:, None]
    # A random member is the anchor; moving the last one into its place leaves the others as candidates.
    drawn = rng.integers(mini_size, size=rows)
    every = np.arange(rows)
    anchor = members[every, drawn]
    members[every, drawn] = members[:, -1]
    candidates = members[:, :-1]
    flat = pools.reshape(-1)
    distinct = encoded.inverse.take(flat)
    keys, costs = lookup(distinct.take(anchor), distinct.take(candidates))
    scores = keys.copy()
    ties = rng.integers(1 << TIE_BITS, size=keys.shape, dtype=np.uint16)
    choice = choose_by_key(keys, costs, ties, rng.random(rows) >= config.p_semi_hard)
    positive_score = to_scores(scores[every, choice.positive])
    negative_score = to_scores(scores[every, choice.negative])
    found = choice.negative >= 0
    equal = found & (negative_score >= positive_score)
    keep = found & ~equal if config.drop_equal else found
    chosen = (anchor, candidates[every, choice.positive], candidates[every, choice.negative])
    indices = np.stack([flat.take(members) for members in chosen], axis=1)
    return MinedTriplets(
        indices=indices[keep],
        positive_score=positive_score[keep],
        negative_score=negative_score[keep],
        kind=choice.kind[keep].astype(np.int8),
        counts={
            "anchors": rows,
            "triplets": int(keep.sum()),
            "no_negative": int(rows - found.sum()),
            "equal_scores": int((equal & keep).sum()),
            "dropped_equal": int((equal & ~keep).sum()),
        },
    )


def draw_subsets(
    rows: int, population: int, size: int, rng: np.random.Generator
) -> Integer[np.ndarray, "rows size"]:
    """One uniform subset of `size` out of range(`population`) a row, all rows at once, in no particular order.

    Floyd's algorithm (Bentley & Floyd, CACM 30(9), 1987): step i draws below population − size + i + 1 and takes
    population − size + i instead where that was drawn before. Comparing with all earlier draws costs size²/2
    comparisons a row, but of small integers side by side in memory, which is several times faster than a table of
    what is taken.
    """
    kind = np.int16 if population < 2**15 else np.int32
    bounds = np.arange(population - size + 1, population + 1, dtype=np.uint64)[:, None]
    # Multiply and shift: a number below each bound from 32 random bits, off uniform by less than 10⁻⁵.
    drawn = (rng.integers(1 << 32, size=(size, rows), dtype=np.uint32) * bounds >> np.uint64(32)).astype(kind)
    for step in range(1, size):
        again = (drawn[:step] == drawn[step]).any(axis=0)
        drawn[step, again] = population - size + step
    return np.ascontiguousarray(drawn.T).astype(np.int64)
