"""The published rule: which candidates of a mini-pool become positive and negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, UInt16

from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.score_config import SCORE_DECIMALS
from medtrim.mining.triplets import FALLBACK, LOWEST, SEMI_HARD

TIE_BITS = 16
# Costs beyond any score of a semi-hard negative, and of what can be no negative; scores stay below 32.
BEHIND, NEVER = 1 << 61, 1 << 62


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


def to_scores(keys: Int64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """The scores of keys."""
    return (keys >> TIE_BITS) / 10.0**SCORE_DECIMALS
