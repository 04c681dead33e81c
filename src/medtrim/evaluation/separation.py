"""How far apart similarity keeps what differs: disease AUC and attribute AUC, query by query."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.blocks import blocks
from medtrim.evaluation.figures import QueryValues, mean_values
from medtrim.evaluation.ranking import similarities
from medtrim.evaluation.reference import Reference


def separation(
    source: Float64[np.ndarray, "studies dimension"],
    gallery: Float64[np.ndarray, "studies dimension"],
    queries: Integer[np.ndarray, " queries"],
    reference: Reference,
) -> list[QueryValues]:
    """`disease AUC` and `attribute AUC` of each query against the other studies of the gallery.

    Disease: P(a study with the query's disease set is more similar than one with another). Attribute: the same
    among the studies with the query's disease set, those that match in every descriptor against those that do not.
    AUCs are taken within a query, as a ranking is: pooled over all queries, image→text and text→image would be
    the same number by construction. NaN for a query whose gallery has one kind only.
    """
    disease = np.full(len(queries), np.nan)
    attribute = np.full(len(queries), np.nan)
    done = 0
    for rows in blocks(queries):
        similarity = similarities(source[rows], gallery)
        for i, row in enumerate(rows, start=done):
            others = np.delete(np.arange(len(gallery)), row)
            scores = similarity[i - done][others]
            alike = reference.disease_set[others] == reference.disease_set[row]
            exact = reference.fine[others] == reference.fine[row]
            disease[i] = auc(scores, alike)
            attribute[i] = auc(scores[alike], exact[alike])
        done += len(rows)
    return [mean_values("disease AUC", disease), mean_values("attribute AUC", attribute)]


def auc(scores: Float64[np.ndarray, " studies"], positive: Bool[np.ndarray, " studies"]) -> float:
    """P(score of a positive > score of a negative) + ½ P(equal) (Mann–Whitney); NaN without both kinds."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    negatives = np.sort(scores[~positive])
    below = np.searchsorted(negatives, scores[positive], side="left")
    up_to = np.searchsorted(negatives, scores[positive], side="right")
    return float((below + up_to).sum() / (2 * n_positive * n_negative))
