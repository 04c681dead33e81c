"""AUROC, AUPRC and F1 of scored studies, also under the weights of a resample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap

Weights = Float[np.ndarray, "studies resamples"]


@dataclass(frozen=True)
class Curve:
    """Weighted counts at each distinct score that a positive has, from the highest down; one column a resample.

    Scores that only negatives have move no metric here, so they are not kept: a label is rare, a corpus large.

    Attributes:
        true, false: positives and negatives at or above the score.
        false_above: negatives above the score; the difference to `false` is tied with it.
        negatives: all of them.
    """

    true: Float[np.ndarray, "thresholds resamples"]
    false: Float[np.ndarray, "thresholds resamples"]
    false_above: Float[np.ndarray, "thresholds resamples"]
    negatives: Float[np.ndarray, " resamples"]

    @property
    def gained(self) -> Float[np.ndarray, "thresholds resamples"]:
        """Positives at each score."""
        return np.asarray(np.diff(self.true, axis=0, prepend=np.zeros_like(self.true[:1])))


def curve(
    scores: Float64[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"], weights: Weights
) -> Curve:
    """Counts at each distinct score of a positive; tied studies enter together."""
    order = np.argsort(-scores, kind="stable")
    marked = positive[order]
    ordered = weights[order]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(marked)[ends]
    kept = np.flatnonzero(np.diff(hits, prepend=0))
    # A row of zeros in front stands for "above everything".
    total = np.pad(np.cumsum(ordered, axis=0), ((1, 0), (0, 0)))
    true = np.pad(np.cumsum(ordered[marked], axis=0), ((1, 0), (0, 0)))
    before = np.where(kept > 0, ends[kept - 1] + 1, 0)
    known = np.where(kept > 0, hits[kept - 1], 0)
    return Curve(
        true=true[hits[kept]],
        false=total[ends[kept] + 1] - true[hits[kept]],
        false_above=total[before] - true[known],
        negatives=total[-1] - true[-1],
    )


def auroc(found: Curve) -> Float64[np.ndarray, " resamples"]:
    """P(a positive scores above a negative) + ½ P(they tie): the area under the ROC curve; NaN without both."""
    below = found.negatives - (found.false + found.false_above) / 2
    wins = (found.gained * below).sum(axis=0, dtype=np.float64)
    return _divide(wins, found.gained.sum(axis=0, dtype=np.float64) * found.negatives)


def auprc(found: Curve) -> Float64[np.ndarray, " resamples"]:
    """Average precision: Σ (recall − recall before) · precision over the thresholds; NaN without positives."""
    named = found.true + found.false
    precision = np.divide(found.true, named, out=np.zeros_like(named), where=named > 0)
    gained = found.gained
    return _divide((gained * precision).sum(axis=0, dtype=np.float64), gained.sum(axis=0, dtype=np.float64))


def f1(
    named: Bool[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"], weights: Weights
) -> Float64[np.ndarray, " resamples"]:
    """F1 = 2 TP / (2 TP + FP + FN) of a decision; NaN where nothing is positive and nothing named."""
    true, called, there = (
        weights[mask].sum(axis=0, dtype=np.float64) for mask in (named & positive, named, positive)
    )
    return _divide(2 * true, called + there)


def best_threshold(scores: Float64[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"]) -> float:
    """The score at which calling everything from it upwards positive gives the best F1 (the highest such score).

    Infinite where there is nothing to choose by: no positives.
    """
    if not positive.any():
        return float("inf")
    found = curve(scores, positive, np.ones((len(scores), 1)))
    values = 2 * found.true[:, 0] / (found.true[:, 0] + found.false[:, 0] + positive.sum())
    return float(np.unique(scores[positive])[::-1][int(np.argmax(values))])


def _divide(
    top: Float64[np.ndarray, " resamples"], bottom: Float[np.ndarray, " resamples"]
) -> Float64[np.ndarray, " resamples"]:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))


@dataclass(frozen=True)
class LabelScores:
    """The three metrics of one label: point values, and one replicate a resample."""

    values: dict[str, float]
    replicates: dict[str, Float64[np.ndarray, " resamples"]]


def score_label(
    scores: Float64[np.ndarray, " studies"],
    positive: Bool[np.ndarray, " studies"],
    rows: Integer[np.ndarray, " studies"],
    bootstrap: PatientBootstrap,
    *,
    threshold: float,
) -> LabelScores:
    """AUROC, AUPRC, and F1 at `threshold`, of studies at `rows` of the bootstrap."""
    named = scores >= threshold

    def metrics(weights: Weights) -> dict[str, Float64[np.ndarray, " resamples"]]:
        found = curve(scores, positive, weights)
        return {"AUROC": auroc(found), "AUPRC": auprc(found), "F1": f1(named, positive, weights)}

    values = metrics(np.ones((len(scores), 1)))
    blocks = [metrics(weights) for weights in bootstrap.weight_blocks(rows)]
    return LabelScores(
        values={name: float(result[0]) for name, result in values.items()},
        replicates={name: np.concatenate([block[name] for block in blocks]) for name in values},
    )
