"""Pooling over training seeds, paired differences, p-values and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from medtrim.errors import ConfigError
from medtrim.evaluation.bootstrap import LEVEL, interval

Floats = NDArray[np.float64]
VARIATIONS = ("resampled", "fixed")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `p` is two-sided, of its being 0; `spread` the deviation between seeds."""

    value: float
    low: float
    high: float
    p: float
    spread: float


@dataclass(frozen=True)
class SeedPool:
    """The mean of a figure, or of a difference, over training seeds.

    The models of S seeds are evaluated on the same patients. Their figures x_s = μ + a_s + e + e_s differ by
    training (a_s), by what these patients do to every model (e) and to this one (e_s). Their mean has the variance

        V = s² / S + max(0, v − u / S)

    with s² the variance of the x_s between seeds, which estimates that of a_s + e_s; v the variance of the mean
    over seeds between resamples of patients, which estimates that of e plus that of e_s over S; and u the variance
    between seeds of the replicates' deviations from x_s, which estimates that of e_s and keeps it from counting
    twice. The interval is mean ± t · √V with Welch and Satterthwaite's degrees of freedom
    (Satterthwaite 1946, doi:10.2307/3002019),

        ν = V² / [(s² / S)² / (S − 1)],

    where patients count as infinitely many beside the seeds: S − 1 where seeds dominate, a normal interval where
    patients do. p is that of t = mean / √V.

    Attributes:
        seeds: how many.
        variation: `resampled`: the interval covers the variation between patients and between seeds. `fixed`: that
            between patients alone, for these trained models; it is then the percentile interval of the mean's
            replicates, as with one seed.

    Raises:
        ConfigError: no seeds, or an unknown variation.
    """

    seeds: int
    variation: str = "resampled"

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError("pooling needs at least one seed")
        if self.variation not in VARIATIONS:
            raise ConfigError(f"seed variation must be {' or '.join(VARIATIONS)}, not {self.variation!r}")

    def pool(self, values: Sequence[float], replicates: Floats) -> Estimate:
        """The mean over seeds.

        Args:
            values: the figure of each seed's model.
            replicates: [seeds resamples], the figure in each resample of patients; the same patients in every row.

        Raises:
            ConfigError: the shapes do not match the number of seeds.
        """
        if len(values) != self.seeds or replicates.ndim != 2 or len(replicates) != self.seeds:
            raise ConfigError(
                f"pooling {self.seeds} seeds: got {len(values)} values and replicates of shape {replicates.shape}"
            )
        given = np.asarray(values, np.float64)
        mean = float(given.mean())
        spread = float(given.std(ddof=1)) if self.seeds > 1 else float("nan")
        if self.variation == "fixed" or self.seeds == 1:
            pooled = replicates.mean(axis=0)
            low, high = interval(pooled)
            return Estimate(mean, low, high, two_sided_p(pooled), spread)
        defined = replicates[:, np.isfinite(replicates).all(axis=0)]
        if not np.isfinite(mean) or defined.shape[1] < 2:
            return Estimate(mean, float("nan"), float("nan"), float("nan"), spread)
        deviations = defined - defined.mean(axis=1, keepdims=True)
        own = float(deviations.var(axis=0, ddof=1).mean())
        shared = float(deviations.mean(axis=0).var(ddof=1)) - own / self.seeds
        return _welch(mean, spread**2 / self.seeds, max(0.0, shared), seeds=self.seeds, spread=spread)


def _welch(mean: float, between: float, shared: float, *, seeds: int, spread: float) -> Estimate:
    error = math.sqrt(between + shared)
    if error < 1e-12:  # every seed and every resample agree
        return Estimate(mean, mean, mean, float("nan") if mean else 1.0, spread)
    freedom = (between + shared) ** 2 / (between**2 / (seeds - 1)) if between > 0 else math.inf
    freedom = min(freedom, 1e6)
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return Estimate(mean, mean - reach, mean + reach, float(2 * stdtr(freedom, -abs(mean) / error)), spread)


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
