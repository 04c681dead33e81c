"""Does a similarity put pairs in the order of an outside judgement? Query by query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medtrim.evaluation.ranking import ndcg, sorted_with_index

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
DEPTH = 10


def concordance(scores: Floats, relevance: Floats) -> float:
    """P(score of the more relevant > score of the less relevant) + ½ P(equal), over pairs of unequal relevance.

    The AUC where relevance has two levels; (τ + 1) / 2 where neither has ties. 0.5 is chance, NaN where all
    relevances are equal.

    Args:
        scores: [others], any real numbers.
        relevance: [others], higher is more relevant.
    """
    ahead = pairs = 0.0
    for level in np.unique(relevance)[1:]:
        upper, lower = scores[relevance == level], np.sort(scores[relevance < level])
        below, up_to = (np.searchsorted(lower, upper, side=side).sum() for side in ("left", "right"))
        ahead += (below + up_to) / 2
        pairs += len(upper) * len(lower)
    return ahead / pairs if pairs else float("nan")


def spearman(scores: Floats, relevance: Floats) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN with fewer than three others or a constant side."""
    if len(scores) < 3:
        return float("nan")
    ranks = [rankdata(side) - (len(scores) + 1) / 2 for side in (scores, relevance)]
    scale = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum() / scale) if scale > 0 else float("nan")


def by_query(measure: str, scores: Floats, relevance: Floats, allowed: Bools) -> Floats:
    """`concordance`, `spearman` or `ndcg` (at 10, gain = relevance) of each query (row) over its allowed others."""
    if measure == "ndcg":
        return _ndcg(scores, relevance, allowed)
    function = {"concordance": concordance, "spearman": spearman}[measure]
    return np.array(
        [function(s[keep], r[keep]) for s, r, keep in zip(scores, relevance, allowed, strict=True)], np.float64
    )


def _ndcg(scores: Floats, relevance: Floats, allowed: Bools) -> Floats:
    """nDCG@10; equal scores are ordered by column, as retrieval does by study id."""
    gains, ideals = np.zeros((len(scores), DEPTH)), np.zeros((len(scores), DEPTH))
    for row, (score, gain, keep) in enumerate(zip(scores, relevance, allowed, strict=True)):
        held = gain[keep]
        # Whole numbers sort stably and fast; 1e-7 is the resolution at which retrieval tells similarities apart.
        order = sorted_with_index(np.rint((2.0 - score[keep]) * 1e7).astype(np.int64))[:DEPTH]
        gains[row, : len(order)] = held[order]
        ideals[row, : len(order)] = np.sort(held)[::-1][: len(order)]
    return np.asarray(ndcg(gains, ideals))
