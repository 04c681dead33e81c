"""Agreement of six predicted zone values with a radiologist's zone scores, with intervals by patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medtrim.evaluation import PatientBootstrap
from medtrim.evaluation.statistics import Estimate, SeedPool

Floats = NDArray[np.float64]
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


_MEASURES: Mapping[str, Callable[[Floats, Floats], float]] = {"zone": zone, "side": side, "severity": severity}


@dataclass(frozen=True)
class Measured:
    """One figure of a row of the table.

    Attributes:
        values: of each training seed, [seeds]; one where nothing is trained.
        replicates: in each resample of patients, [seeds resamples].
    """

    values: Floats
    replicates: Floats

    def estimate(self) -> Estimate:
        """The mean over seeds, its interval over patients and seeds (`medtrim.evaluation.statistics.SeedPool`)."""
        return SeedPool(len(self.values)).pool(self.values.tolist(), self.replicates)

    def minus(self, other: Measured) -> Estimate:
        """The difference, paired by patient and seed; what has one seed stands beside each seed of the other."""
        return Measured(self.values - other.values, self.replicates - other.replicates).estimate()


Row = Mapping[str, Measured]


def agreement(
    found: Sequence[Floats], truth: Floats, patients: Sequence[str], *, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """`zone`, `side` and `severity` of the predictions of several training seeds, each [N 6]."""
    films = _draws(patients, resamples)
    return {
        name: Measured(
            np.array([measure(x, truth) for x in found]),
            np.array([[measure(x[i], truth[i]) for i in films] for x in found]),
        )
        for name, measure in _MEASURES.items()
    }


def _draws(patients: Sequence[str], resamples: int) -> list[NDArray[np.int64]]:
    weights = PatientBootstrap(patients, resamples=resamples, seed=0).study_weights(np.arange(len(patients)))
    return [np.repeat(np.arange(len(patients)), column.astype(int)) for column in weights.T]


def mirror_pairs(
    found: Sequence[Floats],
    mirrored: Sequence[Floats],
    truth: Floats,
    patients: Sequence[str],
    *,
    resamples: int = RESAMPLES,
) -> Measured:
    """How often a film is told from its mirror image: share of the films whose scores differ between the sides.

    Right minus left must be larger on the picture, film or mirror image, whose right is the worse one. Neither the
    film's brightness as a whole nor a constant leaning to one side can help.

    Args:
        found, mirrored: predictions of each seed for films and for their mirror images, [N 6].
    """
    uneven = np.flatnonzero(_sides(truth) != 0)
    right = (_sides(truth) > 0)[uneven]
    gaps = [(_sides(film) - _sides(mirror))[uneven] for film, mirror in zip(found, mirrored, strict=True)]
    told = [_told(gap, right) for gap in gaps]
    return _shares(told, uneven, patients, resamples)


def severity_pairs(
    found: Sequence[Floats], truth: Floats, patients: Sequence[str], *, resamples: int = RESAMPLES
) -> Measured:
    """How often the worse of two films of one patient is told: share of the pairs whose scores' sums differ.

    Two films of a patient have the build in common and often the machine.

    Args:
        found: predictions of each seed, [N 6].
    """
    total, owner = truth.sum(axis=1), np.asarray(patients)
    first, second = np.nonzero(np.triu(owner[:, None] == owner, k=1) & (total[:, None] != total))
    worse = total[first] > total[second]
    gaps = [x.sum(axis=1)[first] - x.sum(axis=1)[second] for x in found]
    told = [_told(gap, worse) for gap in gaps]
    return _shares(told, first, patients, resamples)


def _told(gap: Floats, positive: NDArray[np.bool_]) -> Floats:
    """1 where the sign of a gap is right, a half where there is none, NaN where it is unknown."""
    right = np.where(gap == 0, 0.5, (gap > 0) == positive)
    return np.where(np.isnan(gap), np.nan, right)


def _shares(
    told: Sequence[NDArray[np.floating]], films: NDArray[np.int64], patients: Sequence[str], resamples: int
) -> Measured:
    """Share of what was told, in [0, 1] each, at `films`; a patient is drawn with all of its films."""
    bootstrap = PatientBootstrap(patients, resamples=resamples, seed=0)
    each = [np.asarray(x, np.float64) for x in told]
    return Measured(
        np.array([x.mean() if len(x) else np.nan for x in each]),
        np.array([bootstrap.ratio(x, np.ones_like(x), films) for x in each]),
    )


def likeness(
    likes: Sequence[NDArray[np.floating]],
    truth: Floats,
    patients: Sequence[str],
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> Measured:
    """Is near what has like zones? Spearman of the cosine and −Σ |difference of zones|.

    Over all pairs of different patients. In a resample a pair counts as often as both its patients are drawn; ranks
    are those among all pairs.

    Args:
        likes: cosines of each seed, of films with films or with notes, [N N].
        truth: zones of the films, or of their notes, [N 6].
        groups: of each row; rows of different groups are not compared. All are without.
    """
    near = -np.abs(truth[:, None] - truth[None]).sum(axis=2)
    pair, drawn = _other_patients(patients, groups), _pair_weights(patients, resamples)
    found = np.array([_weighted_ranks(x, near, pair, drawn) for x in likes])
    return Measured(found[:, 0], found[:, 1:])


def own_pairs(
    likes: Sequence[NDArray[np.floating]],
    patients: Sequence[str],
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> Measured:
    """P(a row is nearer to its own column than to another patient's), ties half: an AUC over all such pairs.

    Args:
        likes: cosines of each seed, row i's own partner in column i, [N N].
        groups: of each row; rows of different groups are not compared. All are without.
    """
    pair, drawn = _other_patients(patients, groups), _pair_weights(patients, resamples)

    def total(matrix: NDArray[Any]) -> Floats:
        return np.asarray(((drawn @ matrix) * drawn).sum(axis=1))

    found = []
    for like in likes:
        own = np.diag(like)[:, None]
        found.append(
            total(np.where(pair, (like < own) + 0.5 * (like == own), 0.0)) / total(pair.astype(np.float64))
        )
    return Measured(np.array([x[0] for x in found]), np.array([x[1:] for x in found]))


def _other_patients(patients: Sequence[str], groups: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Pairs of different patients within a group: [N N]."""
    owner = np.asarray(patients)
    group = np.zeros(len(owner), np.int64) if groups is None else groups
    return np.asarray((owner[:, None] != owner) & (group[:, None] == group))


def _pair_weights(patients: Sequence[str], resamples: int) -> Floats:
    """How often each film is drawn: once each in the first row, then a row a resample of patients."""
    weights = PatientBootstrap(patients, resamples=resamples, seed=0).study_weights(np.arange(len(patients))).T
    return np.vstack([np.ones(len(patients)), weights]).astype(np.float64)


def _weighted_ranks(a: NDArray[Any], b: Floats, pair: NDArray[np.bool_], weights: Floats) -> Floats:
    """Correlation of the ranks of two matrices at `pair`, entry (i, j) weighted by w_i w_j: [draws]."""
    ranked = []
    for matrix in (a, b):
        ranks = np.zeros(pair.shape)
        ranks[pair] = rankdata(matrix[pair])
        ranked.append(ranks / max(1, pair.sum()))

    def total(matrix: Floats) -> Floats:
        return np.asarray(((weights @ matrix) * weights).sum(axis=1))

    x, y = ranked
    n = total(pair.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = total(x) / n, total(y) / n
        spread = (total(x * x) / n - mean_x**2) * (total(y * y) / n - mean_y**2)
        return np.asarray((total(x * y) / n - mean_x * mean_y) / np.sqrt(spread))


def by_fold(
    inputs: Floats, truth: Floats, patients: Sequence[str], *, ridges: Sequence[float] = (1e2, 1e3, 1e4, 1e5)
) -> Floats:
    """Scores that ridge regression predicts for each film from films of other patients, [N 6].

    Five folds by patient; the penalty is chosen within each training part, by another five.
    """
    found = np.zeros_like(truth)
    for test in folds(patients, 5, seed=0):
        inner = [p for p, t in zip(patients, test, strict=True) if not t]
        x, y = inputs[~test], truth[~test]
        tries = []
        for ridge in ridges:
            guess = np.zeros_like(y)
            for held in folds(inner, 5, seed=1):
                guess[held] = _ridge(x[~held], y[~held], x[held], ridge)
            tries.append(zone(guess, y))
        found[test] = _ridge(x, y, inputs[test], ridges[int(np.argmax(tries))])
    return found


def folds(patients: Sequence[str], count: int, *, seed: int) -> list[NDArray[np.bool_]]:
    """Which rows each of `count` folds holds; a patient is in one fold."""
    names = sorted(set(patients))
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % count, strict=True))
    return [np.array([fold[p] == k for p in patients]) for k in range(count)]


def _ridge(x: Floats, y: Floats, unseen: Floats, ridge: float) -> Floats:
    """Standardised ridge regression, in its dual form: films are fewer than features."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    z, u = (x - mean) / deviation, (unseen - mean) / deviation
    weights = np.linalg.solve(z @ z.T + ridge * np.eye(len(z)), y - y.mean(axis=0))
    return np.asarray(u @ (z.T @ weights) + y.mean(axis=0))
