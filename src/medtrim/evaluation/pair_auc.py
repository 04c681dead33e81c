"""AUC over pairs of studies: how well similarity tells pairs that are alike from pairs that are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap, Replicates
from medtrim.evaluation.ranking import levels, sorted_with_index

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
        scores: similarity of each pair, taken at the resolution of `ranking.levels`.
        positive: whether the pair is alike.
        query: row of the pair's query among the bootstrap's studies.
    """
    queries = len(np.unique(query))
    if positive.all() or not positive.any():
        return PairAuc(float("nan"), np.full(bootstrap.resamples, np.nan), queries, len(scores))
    keys = levels(scores)
    order = sorted_with_index(keys - keys.min())
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    hits = np.add.reduceat(positive[order].astype(np.float64), starts)
    sizes = np.diff(starts, append=len(order))
    value = float(_binned_auc(hits[None, :], (sizes - hits)[None, :])[0])
    # A bin is a run of whole groups of equal similarity, so that the bins keep the order of the groups.
    bins = np.repeat(starts * _BINS // len(order), sizes)
    cell = bootstrap.patient_of[query[order]] * _BINS + bins
    alike = positive[order]
    shape = bootstrap.patients, _BINS
    many = np.bincount(cell[alike], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    few = np.bincount(cell[~alike], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    binned = float(_binned_auc(many.sum(axis=0, keepdims=True), few.sum(axis=0, keepdims=True))[0])
    replicates = _binned_auc(bootstrap.weights @ many, bootstrap.weights @ few)
    return PairAuc(value, np.clip(replicates + (value - binned), 0.0, 1.0), queries, len(scores))


def _binned_auc(
    hits: Float64[np.ndarray, "rows bins"], misses: Float64[np.ndarray, "rows bins"]
) -> Float64[np.ndarray, " rows"]:
    below = np.cumsum(misses, axis=1) - misses
    top = (hits * (below + misses / 2)).sum(axis=1)
    bottom = hits.sum(axis=1) * misses.sum(axis=1)
    return np.asarray(np.divide(top, bottom, out=np.full(len(hits), np.nan), where=bottom > 0))
