"""The paper's miner: random mini-pools, the best-scoring study as positive, a semi-hard one as negative."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.checks import check_corpus, check_thresholds
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.pairs import PairScorer
from medtrim.mining.triplets import FALLBACK, LOWEST, SEMI_HARD, MinedTriplets, concatenate
from medtrim.types.tables import Progress, no_progress

# Iterations that draw from one random stream. Part of the result: another number gives other triplets.
SHARD = 128


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
    ties: Float[np.ndarray, "pools candidates"],
    lowest: Bool[np.ndarray, " pools"],
    config: PoolConfig,
) -> PoolChoice:
    """Positive and negative of each mini-pool from S(anchor, candidate); the anchor is no candidate.

    The positive is the best-scoring candidate. The negative, of the others, is the lowest-scoring one with
    `semi_hard` ≤ S < `ceiling`, or, where there is none, the best-scoring one below `semi_hard`; where `lowest` is
    set it is the lowest-scoring of all. Among equals the one with the largest number in `ties` is taken.
    """
    best = scores.max(axis=1, keepdims=True)
    positive = np.where(scores == best, ties, -1.0).argmax(axis=1)
    semi = (scores >= config.semi_hard) & (scores < config.ceiling)
    # One order for both rules: semi-hard ones by rising score, then, behind any of them, the rest by falling score.
    behind = config.ceiling + config.semi_hard
    cost = np.where(semi, scores, np.where(scores < config.semi_hard, behind - scores, np.inf))
    cost[lowest] = scores[lowest]
    np.put_along_axis(cost, positive[:, None], np.inf, axis=1)
    least = cost.min(axis=1, keepdims=True)
    negative = np.where(cost == least, ties, -1.0).argmax(axis=1)
    kind = np.where(lowest, LOWEST, np.where(least[:, 0] < config.ceiling, SEMI_HARD, FALLBACK))
    negative[np.isinf(least[:, 0])] = -1
    return PoolChoice(positive, negative, kind)


def mine_pools(
    encoded: EncodedStudies,
    config: PoolConfig | None = None,
    rng: np.random.Generator | None = None,
    *,
    progress: Progress = no_progress,
) -> MinedTriplets:
    """Mine `config.iterations` pools as published (arXiv:2504.15929, §III).

    `counts` holds `anchors` (mini-pools drawn), `triplets`, `no_negative` (mini-pools without an admissible
    negative), `equal_scores` (triplets whose negative scores as high as the positive) and `dropped_equal`.

    Raises:
        MiningError: fewer than three studies, or no mini-pool gave a triplet.
    """
    config, rng = config or PoolConfig(), rng or np.random.default_rng(0)
    check_corpus(encoded, least=3)
    scorer = PairScorer(encoded)
    shards = -(-config.iterations // SHARD)
    parts = []
    for i, stream in enumerate(rng.spawn(shards)):
        parts.append(_mine_shard(encoded, scorer, config, min(SHARD, config.iterations - i * SHARD), stream))
        progress(min((i + 1) * SHARD, config.iterations), config.iterations)
    mined = concatenate(parts)
    if not len(mined):
        raise MiningError(
            f"none of {mined.counts['anchors']} mini-pools holds an admissible negative: every candidate scores "
            f"{config.ceiling} or more against its anchor, or as high as the positive"
        )
    return mined


def _mine_shard(
    encoded: EncodedStudies, scorer: PairScorer, config: PoolConfig, iterations: int, rng: np.random.Generator
) -> MinedTriplets:
    studies = len(encoded)
    pool_size = min(config.pool_size, studies)
    mini_size = min(config.mini_pool_size, studies)
    rows = iterations * config.mini_pools
    pools = np.stack([rng.choice(studies, pool_size, replace=False, shuffle=False) for _ in range(iterations)])
    members = draw_subsets(rows, pool_size, mini_size, rng)
    members += np.repeat(np.arange(iterations) * pool_size, config.mini_pools)[:, None]
    members = pools.reshape(-1).take(members)
    # A random member is the anchor; moving the last one into its place leaves the others as candidates.
    drawn = rng.integers(mini_size, size=rows)
    every = np.arange(rows)
    anchor = members[every, drawn]
    members[every, drawn] = members[:, -1]
    candidates = np.ascontiguousarray(members[:, :-1])
    distinct = encoded.inverse.take(candidates)
    scores = scorer(np.broadcast_to(encoded.inverse[anchor][:, None], distinct.shape), distinct)
    ties = rng.random(candidates.shape, dtype=np.float32)
    lowest = rng.random(rows) >= config.p_semi_hard
    choice = choose(scores, ties, lowest, config)
    positive_score, negative_score = scores[every, choice.positive], scores[every, choice.negative]
    found = choice.negative >= 0
    equal = found & (negative_score >= positive_score)
    keep = found & ~equal if config.drop_equal else found
    indices = np.stack([anchor, candidates[every, choice.positive], candidates[every, choice.negative]], axis=1)
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
    taken = np.zeros(rows * population, bool)
    start = np.arange(rows) * population
    subsets = np.empty((size, rows), np.int64)
    for step, last in enumerate(range(population - size, population)):
        drawn = rng.integers(last + 1, size=rows) + start
        np.copyto(drawn, start + last, where=taken.take(drawn))
        taken[drawn] = True
        np.subtract(drawn, start, out=subsets[step])
    return np.ascontiguousarray(subsets.T)
