"""Figures of several training seeds as one, and paired differences between methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medtrim.errors import TableError
from medtrim.evaluation import Difference, EvaluationResult, Figure, compare_seeds
from medtrim.evaluation.statistics import SeedPool


@dataclass(frozen=True)
class PooledMethod:
    """One method over its training seeds.

    Attributes:
        result: its figures, means over seeds, with intervals that speak of other patients and other seeds.
        by_seed: the figures of each seed; a method that nothing is trained for has one set, for every seed.
        seeds: how many seeds the experiment has.
    """

    result: EvaluationResult
    by_seed: tuple[tuple[Figure, ...], ...]
    seeds: int

    @property
    def results(self) -> list[EvaluationResult]:
        """One evaluation a seed."""
        listed = self.by_seed * self.seeds if len(self.by_seed) == 1 else self.by_seed
        return [replace(self.result, figures=figures) for figures in listed]

    def spread(self, figure: Figure) -> float:
        """Standard deviation of a figure between seeds; NaN with one seed."""
        values = [f.value for figures in self.by_seed for f in figures if f.key == figure.key]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def pool_method(method: str, by_seed: Sequence[Sequence[Figure]], *, fingerprint: str, seeds: int) -> PooledMethod:
    """The mean over seeds of every figure; a method that nothing is trained for has one set, for every seed.

    Raises:
        TableError: the seeds' figures are not the same ones.
    """
    repeated = list(by_seed) * seeds if len(by_seed) == 1 else list(by_seed)
    if len(repeated) != seeds or any(
        [f.key for f in figures] != [f.key for f in repeated[0]] for figures in repeated
    ):
        raise TableError(f"{method!r} has not the same figures for each of {seeds} seeds")
    pooled = []
    for same in zip(*repeated, strict=True):
        replicates = np.stack([f.replicates for f in same])
        trained = len(by_seed)
        found = SeedPool(trained).pool([f.value for f in same[:trained]], replicates[:trained])
        pooled.append(
            replace(same[0], value=found.value, low=found.low, high=found.high, replicates=replicates.mean(axis=0))
        )
    result = EvaluationResult(method, tuple(pooled), fingerprint)
    return PooledMethod(result, tuple(tuple(figures) for figures in by_seed), seeds)


def differences(methods: Mapping[str, PooledMethod], baseline: str) -> dict[str, list[Difference]]:
    """Every other method minus `baseline`, figure by figure, paired by patient and by seed."""
    other = methods[baseline].results
    return {key: compare_seeds(method.results, other) for key, method in methods.items() if key != baseline}
