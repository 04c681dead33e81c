"""Figures of several training seeds as one, and paired differences between methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medtrim.errors import TableError
from medtrim.evaluation import Difference, EvaluationResult, Figure, compare
from medtrim.evaluation.statistics import SeedBootstrap


@dataclass(frozen=True)
class PooledMethod:
    """One method over its training seeds.

    Attributes:
        result: its figures, means over seeds; replicates draw seeds along with patients.
        by_seed: the figures of each seed.
    """

    result: EvaluationResult
    by_seed: tuple[tuple[Figure, ...], ...]

    def spread(self, figure: Figure) -> float:
        """Standard deviation of a figure between seeds; NaN with one seed."""
        values = [f.value for figures in self.by_seed for f in figures if f.key == figure.key]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def pool_method(
    method: str, by_seed: Sequence[Sequence[Figure]], *, fingerprint: str, seed: int, seeds: int
) -> PooledMethod:
    """The mean over seeds of every figure.

    All methods of an experiment share `seed` and `seeds` and thereby the draws of training seeds, as they share
    those of patients, so that differences are paired in both. A method that nothing is trained for has one set of
    figures, which stands for every seed.

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
        draws = SeedBootstrap.make(seeds=seeds, resamples=replicates.shape[1], variation="resampled", seed=seed)
        found = draws.pool([f.value for f in same], replicates)
        drawn = replicates[draws.draws.T, np.arange(replicates.shape[1])].mean(axis=0)
        pooled.append(replace(same[0], value=found.value, low=found.low, high=found.high, replicates=drawn))
    result = EvaluationResult(method, tuple(pooled), fingerprint)
    return PooledMethod(result, tuple(tuple(figures) for figures in by_seed))


def differences(methods: Mapping[str, PooledMethod], baseline: str) -> dict[str, list[Difference]]:
    """Every other method minus `baseline`, figure by figure, paired by patient and by seed."""
    other = methods[baseline].result
    return {key: compare(method.result, other) for key, method in methods.items() if key != baseline}
