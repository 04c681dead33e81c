"""Pooling over seeds, paired differences and Holm's correction, all on bootstrap replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `p` is the two-sided bootstrap p-value of its being 0."""

    value: float
    low: float
    high: float
    p: float
    spread: float


@dataclass(frozen=True)
class SeedBootstrap:
    """Which training seeds each resample averages over.

    Row b of `draws` [resamples seeds] holds seed positions. Methods share the draws, as they share the patients of
    a resample, so that differences are paired in both.
    """

    draws: NDArray[np.int64]

    @classmethod
    def make(cls, *, seeds: int, resamples: int, variation: str, seed: int) -> SeedBootstrap:
        """`resampled` draws seeds with replacement; `fixed` averages over the seeds as they are.

        Raises:
            ConfigError: no seeds, or another word for the variation.
        """
        if seeds < 1:
            raise ConfigError("pooling needs at least one seed")
        if variation not in ("resampled", "fixed"):
            raise ConfigError(f"seed variation must be resampled or fixed, not {variation!r}")
        if variation == "fixed":
            return cls(np.tile(np.arange(seeds), (resamples, 1)))
        return cls(np.random.default_rng(seed).integers(0, seeds, size=(resamples, seeds)))

    def pool(self, values: Sequence[float], replicates: Floats) -> Estimate:
        """The mean over seeds.

        Args:
            values: the figure of each seed's model.
            replicates: [seeds resamples], the figure in each resample of patients; the same patients in every row.

        Raises:
            ConfigError: the shapes do not match the draws.
        """
        seeds = self.draws.shape[1]
        if len(values) != seeds or replicates.shape != (seeds, len(self.draws)):
            raise ConfigError(
                f"pooling {seeds} seeds × {len(self.draws)} resamples: got {len(values)} values and replicates of "
                f"shape {replicates.shape}"
            )
        pooled = replicates[self.draws.T, np.arange(len(self.draws))].mean(axis=0)
        given = np.asarray(values, np.float64)
        low, high = percentile_interval(pooled)
        spread = float(given.std(ddof=1)) if seeds > 1 else float("nan")
        return Estimate(float(given.mean()), low, high, two_sided_p(pooled), spread)


def percentile_interval(replicates: Floats, *, level: float = 0.95) -> tuple[float, float]:
    """Central interval of the replicates that are defined; NaN where none is."""
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def two_sided_p(replicates: Floats) -> float:
    """p = 2 · min(#{r ≤ 0} + 1, #{r ≥ 0} + 1) / (B + 1), at most 1: the bootstrap test that a difference is 0.

    One is added to both counts (Davison & Hinkley 1997, §4.2.1), so that p is never 0.
    """
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return float("nan")
    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(defined) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) · p_(j)).

    NaN is no comparison: it stays NaN and does not count among the m.
    """
    adjusted = [float("nan")] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if p == p), key=lambda i: p_values[i])
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted
