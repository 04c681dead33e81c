"""Agreement of six predicted zone values with a radiologist's zone scores, with intervals by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medtrim.evaluation import PatientBootstrap
from medtrim.evaluation.bootstrap import interval

Floats = NDArray[np.float64]
MEASURES = ("zone", "side", "severity")
RESAMPLES = 1000


def rank_correlation(found: Floats, truth: Floats) -> float:
    """Spearman's correlation of two flat arrays; NaN where one does not vary."""
    a, b = rankdata(found), rankdata(truth)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")


def ranking_auc(found: Floats, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive ranks above a negative, ties a half; NaN without one of both."""
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return float("nan")
    return float((rankdata(found)[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def zone(found: Floats, truth: Floats) -> float:
    """Spearman over all zones of all films [N 6]."""
    return rank_correlation(found.ravel(), truth.ravel())


def side(found: Floats, truth: Floats) -> float:
    """AUC of right minus left among films whose scores differ between the sides."""
    uneven = _sides(truth) != 0
    return ranking_auc(_sides(found)[uneven], _sides(truth)[uneven] > 0)


def _sides(zones: Floats) -> Floats:
    """Right minus left."""
    return np.asarray(zones[:, :3].sum(axis=1) - zones[:, 3:].sum(axis=1))


def severity(found: Floats, truth: Floats) -> float:
    """Spearman of the zones' sums."""
    return rank_correlation(found.sum(axis=1), truth.sum(axis=1))


_MEASURES: tuple[Callable[[Floats, Floats], float], ...] = (zone, side, severity)


@dataclass(frozen=True)
class Agreement:
    """The three measures of one row of the table.

    Attributes:
        value: zone, side, severity; means over training seeds.
        replicates: [resamples 3], of patients and, where there are several, of seeds.
        seeds: [seeds 3], the measures of each.
    """

    value: Floats
    replicates: Floats
    seeds: Floats

    def interval(self) -> Floats:
        """Low and high of each measure, [2 3]."""
        return _ends(self.replicates)

    def minus(self, other: Agreement) -> tuple[Floats, Floats]:
        """Difference and its interval [2 3]; both rows have the same draws of patients."""
        gap = self.replicates - other.replicates
        return self.value - other.value, _ends(gap)


def _ends(replicates: Floats) -> Floats:
    found = [interval(np.ascontiguousarray(column)) for column in replicates.T]
    return np.array([[each.low for each in found], [each.high for each in found]])


def agreement(
    found: Sequence[Floats], truth: Floats, patients: Sequence[str], *, resamples: int = RESAMPLES
) -> Agreement:
    """Measure predictions of several training seeds, each [N 6].

    A resample draws patients with replacement, and seeds with replacement and the variance of √(n / (n − 1)) that n
    seeds are short of: its mean over drawn seeds is spread about the mean by that factor.
    """
    films = _draws(patients, resamples)
    by_seed = np.array([[f(x, truth) for f in _MEASURES] for x in found])
    every = np.array([[[f(x[i], truth[i]) for f in _MEASURES] for i in films] for x in found])
    count = len(found)
    rng = np.random.default_rng(1)
    drawn = rng.integers(count, size=(resamples, count))
    value = by_seed.mean(axis=0)
    mean = every.mean(axis=0)
    lucky = np.stack([every[d, r].mean(axis=0) for r, d in enumerate(drawn)])
    wider = np.sqrt(count / (count - 1)) if count > 1 else 0.0
    return Agreement(value, mean + wider * (lucky - mean), by_seed)


def _draws(patients: Sequence[str], resamples: int) -> list[NDArray[np.int64]]:
    weights = PatientBootstrap(patients, resamples=resamples, seed=0).study_weights(np.arange(len(patients)))
    return [np.repeat(np.arange(len(patients)), column.astype(int)) for column in weights.T]


def mirror_pairs(
    found: Sequence[Floats], mirrored: Sequence[Floats], truth: Floats, patients: Sequence[str]
) -> tuple[float, float, float]:
    """How often a film is told from its mirror image: share of the films whose scores differ between the sides.

    Right minus left must be larger on the picture, film or mirror image, whose right is the worse one. Neither the
    film's brightness as a whole nor a constant leaning to one side can help.

    Args:
        found, mirrored: predictions of each seed for films and for their mirror images, [N 6].

    Returns:
        The share, low and high end of its interval; mean over seeds, which are not drawn again.
    """
    uneven = np.flatnonzero(_sides(truth) != 0)
    right = (_sides(truth) > 0)[uneven]
    told = []
    for film, mirror in zip(found, mirrored, strict=True):
        gap = (_sides(film) - _sides(mirror))[uneven]
        told.append(np.where(gap == 0, 0.5, (gap > 0) == right))
    each = np.mean(told, axis=0).astype(np.float64)
    replicates = PatientBootstrap(patients, resamples=RESAMPLES, seed=0).ratio(each, np.ones_like(each), uneven)
    ends = interval(replicates)
    return float(each.mean()), ends.low, ends.high


def by_fold(
    inputs: Floats, truth: Floats, patients: Sequence[str], *, ridges: Sequence[float] = (1e2, 1e3, 1e4, 1e5)
) -> Floats:
    """Scores that ridge regression predicts for each film from films of other patients, [N 6].

    Five folds by patient; the penalty is chosen within each training part, by another five.
    """
    found = np.zeros_like(truth)
    for test in _folds(patients, 5, seed=0):
        inner = [p for p, t in zip(patients, test, strict=True) if not t]
        x, y = inputs[~test], truth[~test]
        tries = []
        for ridge in ridges:
            guess = np.zeros_like(y)
            for held in _folds(inner, 5, seed=1):
                guess[held] = _ridge(x[~held], y[~held], x[held], ridge)
            tries.append(zone(guess, y))
        found[test] = _ridge(x, y, inputs[test], ridges[int(np.argmax(tries))])
    return found


def _folds(patients: Sequence[str], count: int, *, seed: int) -> list[NDArray[np.bool_]]:
    names = sorted(set(patients))
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % count, strict=True))
    return [np.array([fold[p] == k for p in patients]) for k in range(count)]


def _ridge(x: Floats, y: Floats, unseen: Floats, ridge: float) -> Floats:
    """Standardised ridge regression, in its dual form: films are fewer than features."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    z, u = (x - mean) / deviation, (unseen - mean) / deviation
    weights = np.linalg.solve(z @ z.T + ridge * np.eye(len(z)), y - y.mean(axis=0))
    return np.asarray(u @ (z.T @ weights) + y.mean(axis=0))
