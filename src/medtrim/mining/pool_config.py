"""Options of the pool miner."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic.dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.mining.score_config import SETTINGS, check_thresholds


@dataclass(frozen=True, slots=True, config=SETTINGS)
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
