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

from medtrim.mining.encoding import EncodedStudies, encode_studies
from medtrim.mining.explain import ScoreExplanation, SharedDisease, explain_score
from medtrim.mining.score_config import ScoreConfig, ScoreWeights
from medtrim.mining.sets import SetTable

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

# Scores are rounded to this many decimals, so that what is equal on paper is equal in floating point: sums of the
# same fractions in another order differ in the last bit, and miners compare scores for ties and with thresholds.
SCORE_DECIMALS = 12


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
    terms = distinct_terms(encoded, rows, columns)
    return SimilarityTerms(
        disease=_expand(terms.disease, row_of, column_of),
        adjective=_expand(terms.adjective, row_of, column_of),
        direction=_expand(terms.direction, row_of, column_of),
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
    scores = distinct_terms(encoded, rows, columns).score(encoded.config.weights)
    return _expand(scores, row_of, column_of)


def distinct_terms(
    encoded: EncodedStudies, rows: Integer[np.ndarray, " rows"], columns: Integer[np.ndarray, " columns"]
) -> SimilarityTerms:
    """The terms between distinct annotations `rows` and `columns` (indices of distinct annotations)."""
    sets, codes = encoded.disease_sets, encoded.disease_codes
    disease = sets.jaccard(codes[rows], codes[columns])
    adjective = _descriptor_sum(encoded.adjective_sets, encoded.adjective_codes, rows, columns)
    direction = _descriptor_sum(encoded.direction_sets, encoded.direction_codes, rows, columns)
    divisor = _divisor(encoded, rows, columns)
    adjective /= divisor
    direction /= divisor
    return SimilarityTerms(disease, adjective, direction)


def _divisor(encoded: EncodedStudies, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """N of the equation, at least 1: [rows, 1] in the faithful mode, [rows, columns] in the symmetric one."""
    has = encoded.has.astype(np.float64)
    ours, theirs = has[rows], has[columns]
    sizes = ours.sum(axis=1)[:, None]
    if encoded.config.mode == "symmetric":
        # Exact in floating point: the counts are small integers.
        sizes = sizes + theirs.sum(axis=1)[None, :] - ours @ theirs.T
    return np.asarray(np.maximum(sizes, 1.0))


def _descriptor_sum(sets: SetTable, codes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Σ over the shared diseases of the Jaccard index of their descriptor sets: [rows, columns]."""
    total = np.zeros((len(rows), len(columns)))
    for column_codes, row_codes in zip(codes[columns].T, codes[rows].T, strict=True):
        (ours,), (theirs,) = np.nonzero(row_codes >= 0), np.nonzero(column_codes >= 0)
        if not len(ours) or not len(theirs):
            continue
        row_sets, row_of = np.unique(row_codes[ours], return_inverse=True)
        column_sets, column_of = np.unique(column_codes[theirs], return_inverse=True)
        table = sets.jaccard(row_sets, column_sets)
        total[np.ix_(ours, theirs)] += np.take(table[row_of], column_of, axis=1)
    return total


def _distinct(encoded: EncodedStudies, studies: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct annotations among `studies`, and which of them each study has."""
    if studies is None:
        return np.arange(encoded.distinct), encoded.inverse
    return np.unique(encoded.inverse[studies], return_inverse=True)


def _expand(block: np.ndarray, row_of: np.ndarray, column_of: np.ndarray) -> np.ndarray:
    return np.take(block[row_of], column_of, axis=1)
