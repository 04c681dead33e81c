"""The paper's miner: random mini-pools, the best-scoring study as positive, a semi-hard one as negative."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, UInt16

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.blocks import BlockScorer
from medtrim.mining.checks import check_corpus, check_thresholds
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.pairs import pair_scores
from medtrim.mining.score_config import SCORE_DECIMALS
from medtrim.mining.triplets import FALLBACK, LOWEST, SEMI_HARD, MinedTriplets, concatenate
from medtrim.types.tables import Progress, no_progress

# Iterations that draw from one random stream. Part of the result: another number gives other triplets.
SHARD = 128
# Up to so many distinct annotations the scores of all pairs are worked out beforehand: two tables of 34 MB at most.
TABLE_LIMIT = 2048
TIE_BITS = 16
# Costs beyond any score of a semi-hard negative, and of what can be no negative; scores stay below 32.
BEHIND, NEVER = 1 << 61, 1 << 62


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How pools are drawn and negatives chosen; the defaults are the authors' (40,000 × 32 = 1.28 million).

    Args:
        iterations: pools to draw; each gives up to `mini_pools` triplets.
        pool_size: studies in a pool (the whole corpus where it is smaller).
        mini_pools: mini-pools drawn from each pool.
        mini_pool_size: studies in a mini-pool, the anchor included.
        semi_hard: lower bound of a semi-hard negative's score.
        ceiling: upper bound (exclusive) of a negative's score.
        p_semi_hard: probability of the semi-hard rule; otherwise the lowest-scoring study is the negative.
        drop_equal: leave out triplets whose negative scores as high as the positive. The paper's code keeps them.

    Raises:
        ConfigError: sizes or thresholds out of order.
    """

    iterations: int = 40_000
    pool_size: int = 512
    mini_pools: int = 32
    mini_pool_size: int = 32
    semi_hard: float = 0.25
    ceiling: float = 0.6
    p_semi_hard: float = 1.0
    drop_equal: bool = False

    def __post_init__(self) -> None:
        check_thresholds(self.semi_hard, self.ceiling)
        if self.iterations < 1 or self.mini_pools < 1:
            raise ConfigError(f"iterations {self.iterations}, mini_pools {self.mini_pools}: both must be 1 or more")
        if not 3 <= self.mini_pool_size <= self.pool_size:
            raise ConfigError(
                f"mini_pool_size {self.mini_pool_size}, pool_size {self.pool_size}; "
                "needed: 3 ≤ mini_pool_size ≤ pool_size (an anchor, a positive and a negative)"
            )
        if not 0 <= self.p_semi_hard <= 1:
            raise ConfigError(f"p_semi_hard is {self.p_semi_hard}, allowed: 0 to 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for provenance."""
        return {"miner": "pool", **asdict(self)}


@dataclass(frozen=True)
class PoolChoice:
    """Columns of the chosen positive and negative of each mini-pool; −1 where there is no admissible negative."""

    positive: Integer[np.ndarray, " pools"]
    negative: Integer[np.ndarray, " pools"]
    kind: Integer[np.ndarray, " pools"]


def choose(
    scores: Float64[np.ndarray, "pools candidates"],
    ties: UInt16[np.ndarray, "pools candidates"],
    lowest: Bool[np.ndarray, " pools"],
    config: PoolConfig,
) -> PoolChoice:
    """Positive and negative of each mini-pool from S(anchor, candidate); the anchor is no candidate.

    The positive is the best-scoring candidate. The negative, of the others, is the lowest-scoring one with
    `semi_hard` ≤ S < `ceiling`, or, where there is none, the best-scoring one below `semi_hard`; where `lowest` is
    set it is the lowest-scoring of all. Among equals, the positive is the one with the largest number in `ties`,
    the negative the one with the smallest.
    """
    keys = to_keys(scores)
    return choose_by_key(keys, to_costs(keys, config), ties, lowest)


def choose_by_key(
    keys: Int64[np.ndarray, "pools candidates"],
    costs: Int64[np.ndarray, "pools candidates"],
    ties: UInt16[np.ndarray, "pools candidates"],
    lowest: Bool[np.ndarray, " pools"],
) -> PoolChoice:
    """`choose` from keys and costs, both of which it overwrites."""
    every = np.arange(len(keys))
    costs[lowest] = keys[lowest]
    keys |= ties
    costs |= ties
    positive = keys.argmax(axis=1)
    costs[every, positive] = NEVER
    negative = costs.argmin(axis=1)
    cost = costs[every, negative]
    kind = np.where(lowest, LOWEST, np.where(cost < BEHIND, SEMI_HARD, FALLBACK))
    return PoolChoice(positive, np.where(cost >= NEVER, -1, negative), kind)


def to_keys(scores: Float64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Scores as integers in units of their last decimal, with room for a tie-breaking number in the low bits."""
    return np.rint(scores * 10.0**SCORE_DECIMALS).astype(np.int64) << TIE_BITS


def to_costs(keys: Int64[np.ndarray, "*shape"], config: PoolConfig) -> Int64[np.ndarray, "*shape"]:
    """What a negative of each key costs, the cheapest being chosen.

    First the semi-hard ones by rising score, behind any of them the ones below by falling score, and `NEVER` what
    reaches the ceiling.
    """
    thresholds = (config.semi_hard, config.ceiling)
    lower, upper = (min(BEHIND, round(min(t, 32.0) * 10**SCORE_DECIMALS) << TIE_BITS) for t in thresholds)
    return np.where(keys >= upper, NEVER, np.where(keys >= lower, keys, BEHIND + lower - keys))


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
    # Threads, since NumPy lets others run while it computes; shards are joined in order whoever is first.
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
    positive_score, negative_score = (
        (scores[every, column] >> TIE_BITS) / 10.0**SCORE_DECIMALS for column in (choice.positive, choice.negative)
    )
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

    Floyd's algorithm (Bentley & Floyd, CACM 30(9), 1987): `size` steps whatever the population.
    """
    bounds = np.arange(population - size + 1, population + 1, dtype=np.uint64)[:, None]
    # Multiply and shift: a number below each bound from 32 random bits, off uniform by less than 10⁻⁶.
    drawn = (rng.integers(1 << 32, size=(size, rows), dtype=np.uint32) * bounds >> np.uint64(32)).astype(np.int64)
    taken = np.zeros(rows * population, bool)
    start = np.arange(rows) * population
    drawn += start
    for step, place in enumerate(drawn):
        np.copyto(place, start + (population - size + step), where=taken.take(place))
        taken[place] = True
    drawn -= start
    return np.ascontiguousarray(drawn.T)
