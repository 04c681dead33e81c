"""Triplets inside one training batch: every study is encoded once and serves in all roles."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Integer

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.score_config import SCORE_DECIMALS, check_thresholds
from medtrim.mining.triplets import HIGH, LOW, MIDDLE, MinedTriplets

# Above any score in units of the last decimal; small enough for keys of 2^16 studies in 64 bits.
BEYOND = 2**46


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """Which triplets of a batch are admissible, and how many are kept.

    A triplet (a, p, n) of three different studies is admissible when S(a, p) ≥ `positive_floor`,
    `negative_floor` ≤ S(a, n) < `ceiling`, and S(a, n) < S(a, p) by at least `min_gap`. The defaults take what the
    published ceiling of 0.6 tells apart. With `positive_floor=0.0, ceiling=inf` every two scores that differ make a
    triplet, so that descriptors decide too.

    Args:
        positive_floor, negative_floor, ceiling, min_gap: as above, on the scale of S.
        limit: at most so many triplets, drawn uniformly from all admissible ones; 0 keeps all.
        semi_hard: where `kind` divides low from middle negatives; it excludes nothing.

    Raises:
        ConfigError: a value out of range.
    """

    positive_floor: float = 0.6
    negative_floor: float = 0.0
    ceiling: float = 0.6
    min_gap: float = 0.0
    limit: int = 8192
    semi_hard: float = 0.25

    def __post_init__(self) -> None:
        check_thresholds(self.semi_hard, self.ceiling)
        if not 0 <= self.negative_floor < self.ceiling:
            raise ConfigError(
                f"negative_floor {self.negative_floor}, ceiling {self.ceiling}; "
                "needed: 0 ≤ negative_floor < ceiling"
            )
        if self.positive_floor < 0 or self.min_gap < 0 or self.limit < 0:
            raise ConfigError(
                f"positive_floor {self.positive_floor}, min_gap {self.min_gap}, limit {self.limit}: "
                "none may be negative"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for provenance."""
        return {"miner": "batch", **asdict(self)}


def mine_batch(
    scores: Float64[np.ndarray, "batch batch"], config: BatchConfig | None = None, *, rng: np.random.Generator
) -> MinedTriplets:
    """The admissible triplets of a batch from its score block S(row, column); indices are rows of the batch.

    `counts` holds `admissible` (all there are), `triplets` (those kept) and `anchors` (rows with at least one).

    Raises:
        MiningError: a score is not finite, negative, or 64 and more.
    """
    config = config or BatchConfig()
    if not (np.isfinite(scores).all() and scores.min(initial=0) >= 0 and scores.max(initial=0) < 64):
        raise MiningError("the batch's scores hold values that are not finite, negative or 64 and more")
    ranked = _rank(scores)
    first, admissible = _admissible(ranked, config)
    ends = np.cumsum(admissible, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if config.limit and total > config.limit:
        picked = np.sort(rng.choice(total, config.limit, replace=False, shuffle=False))
    else:
        picked = np.arange(total)
    pair = np.searchsorted(ends, picked, side="right")
    anchors, position = np.divmod(pair, max(1, len(scores)))
    positives = ranked.order[anchors, position]
    negatives = ranked.order[anchors, first[anchors] + picked - (ends - admissible.reshape(-1))[pair]]
    negative_score = scores[anchors, negatives]
    kind = np.where(negative_score < config.semi_hard, LOW, np.where(negative_score < config.ceiling, MIDDLE, HIGH))
    return MinedTriplets(
        indices=np.stack([anchors, positives, negatives], axis=1),
        positive_score=scores[anchors, positives],
        negative_score=negative_score,
        kind=kind.astype(np.int8),
        counts={
            "anchors": int(admissible.any(axis=1).sum()),
            "admissible": total,
            "triplets": len(picked),
        },
    )


def _units(score: float) -> int:
    """A threshold in units of the last decimal; infinity becomes what no score reaches."""
    return min(BEYOND, round(score * 10**SCORE_DECIMALS)) if math.isfinite(score) else BEYOND


@dataclass(frozen=True)
class _Ranked:
    """Each row's scores in rising order, in units of the last decimal, and the columns they belong to.

    The diagonal is moved behind everything, since no study is a partner of itself.
    """

    values: Int64[np.ndarray, "batch batch"]
    order: Int64[np.ndarray, "batch batch"]


def _rank(scores: np.ndarray) -> _Ranked:
    """Sort the rows. The column rides in the key's low bits: a plain sort is many times faster than argsort."""
    size = len(scores)
    bits = max(1, int(size - 1).bit_length())
    keys = np.rint(scores * 10.0**SCORE_DECIMALS).astype(np.int64)
    np.fill_diagonal(keys, BEYOND)
    keys <<= bits
    keys |= np.arange(size)
    keys.sort(axis=1)
    return _Ranked(keys >> bits, keys & ((1 << bits) - 1))


def _admissible(
    ranked: _Ranked, config: BatchConfig
) -> tuple[Integer[np.ndarray, " batch"], Integer[np.ndarray, "batch batch"]]:
    """Where each row's negatives start, and how many of them each place of the row admits as their positive."""
    values, size = ranked.values, len(ranked.values)
    first = (values < _units(config.negative_floor)).sum(axis=1, dtype=np.int32)
    last = (values < _units(config.ceiling)).sum(axis=1, dtype=np.int32)
    place = np.arange(size, dtype=np.int32)
    gap = max(1, _units(config.min_gap))
    if gap == 1:
        # Those that score less than a place are those before the first of its equals.
        fresh = np.ones(values.shape, bool)
        fresh[:, 1:] = values[:, 1:] != values[:, :-1]
        below = np.maximum.accumulate(fresh * place, axis=1)
    else:
        # One search for all rows, each in a range of its own; bounds below 0 would fall into the row before.
        offset = np.arange(size)[:, None] * (BEYOND + 1)
        bounds = np.maximum(values - gap, -1) + offset
        flat = np.searchsorted((values + offset).reshape(-1), bounds.reshape(-1), side="right")
        below = flat.reshape(values.shape) - np.arange(size)[:, None] * size
    count = np.clip(below, first[:, None], last[:, None]) - first[:, None]
    count *= (values >= _units(config.positive_floor)) & (values < BEYOND)
    return first, count
