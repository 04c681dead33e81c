"""AUROC, AUPRC and F1 of scored studies, also under the weights of a resample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap


@dataclass(frozen=True)
class Curve:
    """Weighted true and false positives at each distinct threshold, from the highest down, one row a resample."""

    true: Float64[np.ndarray, "resamples thresholds"]
    false: Float64[np.ndarray, "resamples thresholds"]


def curve(
    scores: Float64[np.ndarray, " studies"],
    positive: Bool[np.ndarray, " studies"],
    weights: Float64[np.ndarray, "resamples studies"],
) -> Curve:
    """Counts of studies that score at or above each distinct score; tied studies enter together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    ordered = weights[:, order]
    return Curve(
        true=np.cumsum(ordered * positive[order], axis=1)[:, ends],
        false=np.cumsum(ordered * ~positive[order], axis=1)[:, ends],
    )


def auroc(found: Curve) -> Float64[np.ndarray, " resamples"]:
    """Area under true-positive rate over false-positive rate (trapezoids); NaN without both classes."""
    true, false = (np.pad(x, ((0, 0), (1, 0))) for x in (found.true, found.false))
    area = (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
    whole = true[:, -1] * false[:, -1]
    return np.asarray(np.divide(area, whole, out=np.full(len(area), np.nan), where=whole > 0))


def auprc(found: Curve) -> Float64[np.ndarray, " resamples"]:
    """Average precision: Σ (recall − recall before) · precision over the thresholds; NaN without positives."""
    gained = np.diff(found.true, axis=1, prepend=0.0)
    named = found.true + found.false
    precision = np.divide(found.true, named, out=np.zeros_like(named), where=named > 0)
    total = found.true[:, -1]
    area = (gained * precision).sum(axis=1)
    return np.asarray(np.divide(area, total, out=np.full(len(area), np.nan), where=total > 0))


def f1(
    named: Bool[np.ndarray, " studies"],
    positive: Bool[np.ndarray, " studies"],
    weights: Float64[np.ndarray, "resamples studies"],
) -> Float64[np.ndarray, " resamples"]:
    """F1 = 2 TP / (2 TP + FP + FN) of a decision; NaN where nothing is positive and nothing named."""
    true = weights @ (named & positive)
    below = weights @ named.astype(np.float64) + weights @ positive.astype(np.float64)
    return np.asarray(np.divide(2 * true, below, out=np.full(len(true), np.nan), where=below > 0))


def best_threshold(scores: Float64[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"]) -> float:
    """The score at which calling everything from it upwards positive gives the best F1 (the highest such score).

    Infinite where there is nothing to choose by: no positives.
    """
    if not positive.any():
        return float("inf")
    found = curve(scores, positive, np.ones((1, len(scores))))
    values = 2 * found.true[0] / (found.true[0] + found.false[0] + positive.sum())
    return float(np.unique(scores)[::-1][int(np.argmax(values))])


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
    values: dict[str, float] = {}
    replicates: dict[str, Float64[np.ndarray, " resamples"]] = {}
    named = scores >= threshold
    for weights, resampled in ((np.ones((1, len(scores))), False), (bootstrap.study_weights(rows), True)):
        found = curve(scores, positive, weights)
        metrics = {"AUROC": auroc(found), "AUPRC": auprc(found), "F1": f1(named, positive, weights)}
        for name, result in metrics.items():
            if resampled:
                replicates[name] = result
            else:
                values[name] = float(result[0])
    return LabelScores(values, replicates)
