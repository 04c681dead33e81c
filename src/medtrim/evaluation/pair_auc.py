"""AUC over pairs of studies: how well similarity tells pairs that are alike from pairs that are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap, Replicates

# Resamples see the similarities through at most this many bins of equal content.
_BINS = 1024


@dataclass(frozen=True)
class PairAuc:
    """AUC over all pairs, its replicates, and the number of queries and pairs that are in it."""

    value: float
    replicates: Replicates
    queries: int
    pairs: int


def auc(scores: Float64[np.ndarray, " pairs"], positive: Bool[np.ndarray, " pairs"]) -> float:
    """P(score of a positive > score of a negative) + ½ P(equal) (Mann–Whitney); NaN without both kinds."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    hits = np.bincount(inverse, weights=positive, minlength=len(values))
    misses = counts - hits
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / (n_positive * n_negative))


def pair_auc(
    scores: Float64[np.ndarray, " pairs"],
    positive: Bool[np.ndarray, " pairs"],
    query: Integer[np.ndarray, " pairs"],
    bootstrap: PatientBootstrap,
) -> PairAuc:
    """AUC over all pairs, resampled by the query's patient.

    The value is exact. Replicates go through a histogram of `_BINS` bins a patient, so that a resample is one
    matrix product; what the bins lose (below 1e-3) is taken out by shifting them to the exact value.

    Args:
        scores: similarity of each pair.
        positive: whether the pair is alike.
        query: row of the pair's query among the bootstrap's studies.
    """
    value = auc(scores, positive)
    queries = len(np.unique(query))
    if not np.isfinite(value):
        return PairAuc(value, np.full(bootstrap.resamples, np.nan), queries, len(scores))
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _BINS + 1)[1:-1], method="nearest"))
    bins = np.searchsorted(edges, scores, side="right")
    cell = bootstrap.patient_of[query] * (len(edges) + 1) + bins
    shape = bootstrap.patients, len(edges) + 1
    hits = np.bincount(cell[positive], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    misses = np.bincount(cell[~positive], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    binned = _binned_auc(hits.sum(axis=0, keepdims=True), misses.sum(axis=0, keepdims=True))[0]
    replicates = _binned_auc(bootstrap.weights @ hits, bootstrap.weights @ misses)
    return PairAuc(value, np.clip(replicates + (value - binned), 0.0, 1.0), queries, len(scores))


def _binned_auc(
    hits: Float64[np.ndarray, "rows bins"], misses: Float64[np.ndarray, "rows bins"]
) -> Float64[np.ndarray, " rows"]:
    below = np.cumsum(misses, axis=1) - misses
    top = (hits * (below + misses / 2)).sum(axis=1)
    bottom = hits.sum(axis=1) * misses.sum(axis=1)
    return np.asarray(np.divide(top, bottom, out=np.full(len(hits), np.nan), where=bottom > 0))
