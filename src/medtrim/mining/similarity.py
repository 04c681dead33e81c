"""How alike two studies are, for whole blocks of study pairs at once.

For an anchor a and a reference r, with D the set of diseases (or {no finding}), A_d and L_d the adjective and
direction sets of disease d, and J the Jaccard index with J(∅, ∅) = 1:

    S(a, r) = w_dis · J(D_a, D_r)
            + w_adj · Σ_{d ∈ D_a ∩ D_r} J(A_d^a, A_d^r) / N
            + w_dir · Σ_{d ∈ D_a ∩ D_r} J(L_d^a, L_d^r) / N

with N = |D_a| in the faithful mode and |D_a ∪ D_r| in the symmetric one (arXiv:2504.15929; N as in the authors'
public code). Both sums are 0 where the anchor has no disease, so two normal studies score w_dis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from medtrim.mining.blocks import BlockScorer
from medtrim.mining.encoding import EncodedStudies, encode_studies
from medtrim.mining.explain import ScoreExplanation, SharedDisease, explain_score
from medtrim.mining.score_config import SCORE_DECIMALS, ScoreConfig, ScoreWeights

__all__ = [
    "SCORE_DECIMALS",
    "EncodedStudies",
    "ScoreConfig",
    "ScoreExplanation",
    "ScoreWeights",
    "SharedDisease",
    "SimilarityTerms",
    "encode_studies",
    "explain_score",
    "score_matrix",
    "similarity_terms",
]


@dataclass(frozen=True)
class SimilarityTerms:
    """The three terms of S, each in [0, 1]: S = w_dis · disease + w_adj · adjective + w_dir · direction."""

    disease: Float64[np.ndarray, "anchors references"]
    adjective: Float64[np.ndarray, "anchors references"]
    direction: Float64[np.ndarray, "anchors references"]

    def score(self, weights: ScoreWeights) -> Float64[np.ndarray, "anchors references"]:
        """S, rounded to `SCORE_DECIMALS`."""
        total = weights.disease * self.disease
        total += weights.adjective * self.adjective
        total += weights.direction * self.direction
        return np.round(total, SCORE_DECIMALS)


def similarity_terms(
    encoded: EncodedStudies,
    anchors: Integer[np.ndarray, " anchors"] | None = None,
    references: Integer[np.ndarray, " references"] | None = None,
) -> SimilarityTerms:
    """The terms of S for every pair of `anchors` × `references` (rows of `encoded`; None means all studies)."""
    rows, row_of = _distinct(encoded, anchors)
    columns, column_of = _distinct(encoded, references)
    scorer = BlockScorer(encoded, columns)
    adjective = scorer.descriptors(rows, adjective=1.0, direction=0.0)
    direction = scorer.descriptors(rows, adjective=0.0, direction=1.0)
    return SimilarityTerms(
        disease=_expand(scorer.disease(rows), row_of, column_of),
        adjective=_expand(adjective, row_of, column_of),
        direction=_expand(direction, row_of, column_of),
    )


def score_matrix(
    encoded: EncodedStudies,
    anchors: Integer[np.ndarray, " anchors"] | None = None,
    references: Integer[np.ndarray, " references"] | None = None,
) -> Float64[np.ndarray, "anchors references"]:
    """S for every pair of `anchors` × `references` (rows of `encoded`; None means all studies).

    Distinct annotations are scored once and the result is spread over the studies that share them.
    """
    rows, row_of = _distinct(encoded, anchors)
    columns, column_of = _distinct(encoded, references)
    return _expand(BlockScorer(encoded, columns).score(rows), row_of, column_of)


def _distinct(encoded: EncodedStudies, studies: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct annotations among `studies`, and which of them each study has."""
    if studies is None:
        return np.arange(encoded.distinct), encoded.inverse
    return np.unique(encoded.inverse[studies], return_inverse=True)


def _expand(block: np.ndarray, row_of: np.ndarray, column_of: np.ndarray) -> np.ndarray:
    return np.take(block[row_of], column_of, axis=1)
