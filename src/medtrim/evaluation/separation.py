"""How far apart similarity keeps what differs: disease AUC and attribute AUC."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.blocks import blocks
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure, make_figure
from medtrim.evaluation.pair_auc import PairAuc, pair_auc
from medtrim.evaluation.ranking import similarities
from medtrim.evaluation.reference import Reference

_MOST_PAIRS = 2**23


def separation(
    direction: str,
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    reference: Reference,
    bootstrap: PatientBootstrap,
) -> list[Figure]:
    """Disease AUC over all pairs of an abnormal query and another study, attribute AUC over those of one set.

    Beyond `_MOST_PAIRS` pairs an AUC takes a fixed random part of the queries; `n` says how many.
    """
    counts = np.bincount(reference.disease_set, minlength=int(reference.disease_set.max()) + 1)
    for_disease = _within_bounds(queries, np.full(len(queries), len(source) - 1), len(source))
    for_attribute = _within_bounds(queries, counts[reference.disease_set[queries]] - 1, len(source))
    wide, narrow = _Pairs(), _Pairs()
    for rows in blocks(queries):
        similarity = similarities(source[rows], gallery)
        alike = reference.disease_set[rows][:, None] == reference.disease_set[None, :]
        exact = reference.fine[rows][:, None] == reference.fine[None, :]
        others = np.ones(similarity.shape, bool)
        others[np.arange(len(rows)), rows] = False
        narrow.add(rows, others & alike & for_attribute[rows][:, None], similarity, exact)
        wide.add(rows, others & for_disease[rows][:, None], similarity, alike)
    if not wide.scores:
        return []
    found = {
        "disease AUC": wide.auc(bootstrap),
        "attribute AUC": narrow.auc(bootstrap),
    }
    return [
        make_figure(
            "retrieval",
            metric,
            result.value,
            result.replicates,
            n=result.queries,
            direction=direction,
            queries="abnormal",
            own_in_gallery=False,
        )
        for metric, result in found.items()
    ]


def _within_bounds(
    queries: Integer[np.ndarray, " queries"], pairs: Integer[np.ndarray, " queries"], studies: int
) -> Bool[np.ndarray, " studies"]:
    """Mark the queries to take, given how many pairs each has: all, or random ones up to `_MOST_PAIRS` pairs."""
    order = np.arange(len(queries))
    if pairs.sum() > _MOST_PAIRS:
        order = np.random.default_rng(0).permutation(len(queries))
        order = order[: max(1, int(np.searchsorted(np.cumsum(pairs[order]), _MOST_PAIRS, side="right")))]
    marked = np.zeros(studies, bool)
    marked[queries[order]] = True
    return marked


class _Pairs:
    """Pairs of a query and another study, collected block by block."""

    def __init__(self) -> None:
        self.scores: list[Float64[np.ndarray, " pairs"]] = []
        self.positive: list[Bool[np.ndarray, " pairs"]] = []
        self.query: list[Integer[np.ndarray, " pairs"]] = []

    def add(
        self,
        rows: Integer[np.ndarray, " queries"],
        chosen: Bool[np.ndarray, "queries gallery"],
        similarity: Float64[np.ndarray, "queries gallery"],
        positive: Bool[np.ndarray, "queries gallery"],
    ) -> None:
        """Take the `chosen` pairs of a block of queries."""
        self.scores.append(similarity[chosen])
        self.positive.append(positive[chosen])
        self.query.append(np.repeat(rows, chosen.sum(axis=1)))

    def auc(self, bootstrap: PatientBootstrap) -> PairAuc:
        """The AUC over all of them."""
        scores, positive, query = map(np.concatenate, (self.scores, self.positive, self.query))
        return pair_auc(scores, positive, query, bootstrap)
