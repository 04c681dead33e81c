"""Scores of distinct annotations against distinct annotations: the inner loop under every miner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.score_config import SCORE_DECIMALS
from medtrim.mining.sets import SetTable, distinct_rows

# Entries of a block worked on at a time: 2 MB of scores, about what a core's cache holds.
BLOCK = 1 << 18


@dataclass(frozen=True)
class _Descriptors:
    """The distinct (adjectives, directions) of one disease among the columns.

    `code` is each column's row in them, or their number where the column lacks the disease.
    """

    code: Integer[np.ndarray, " columns"]
    adjectives: Integer[np.ndarray, " combinations"]
    directions: Integer[np.ndarray, " combinations"]


class BlockScorer:
    """The score between any rows and fixed columns, both distinct annotations (None: all of them).

    For each disease the descriptor terms of a row are worked out once per *combination* of descriptors that occurs
    among the columns, then spread over the columns by one lookup in a table whose last entry, for columns without
    the disease, is 0. A row costs about as many passes over its columns as it has diseases.
    """

    def __init__(self, encoded: EncodedStudies, columns: Integer[np.ndarray, " columns"] | None = None) -> None:
        self._encoded = encoded
        self._columns = np.arange(encoded.distinct) if columns is None else columns
        self._sets, self._set_of = np.unique(encoded.disease_codes[self._columns], return_inverse=True)
        self._by_disease = [_combinations(encoded, self._columns, d) for d in range(len(encoded.config.diseases))]

    def score(self, rows: Integer[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows columns"]:
        """S(rows, columns), rounded to `SCORE_DECIMALS`."""
        weights = self._encoded.config.weights
        scores = np.empty((len(rows), len(self._columns)))
        for part in self._parts(len(rows)):
            block = scores[part]
            self._disease(rows[part], weights.disease, block)
            self._add_descriptors(rows[part], weights.adjective, weights.direction, block)
            block *= 10.0**SCORE_DECIMALS
            np.rint(block, out=block)
            block /= 10.0**SCORE_DECIMALS
        return scores

    def disease(self, rows: Integer[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows columns"]:
        """The disease term J(D_row, D_column)."""
        term = np.empty((len(rows), len(self._columns)))
        self._disease(rows, 1.0, term)
        return term

    def descriptors(
        self, rows: Integer[np.ndarray, " rows"], *, adjective: float, direction: float
    ) -> Float64[np.ndarray, "rows columns"]:
        """The sums of S over shared diseases, divided by N, with these two weights."""
        total = np.zeros((len(rows), len(self._columns)))
        for part in self._parts(len(rows)):
            self._add_descriptors(rows[part], adjective, direction, total[part])
        return total

    def _parts(self, rows: int) -> list[slice]:
        step = max(1, BLOCK // max(1, len(self._columns)))
        return [slice(start, start + step) for start in range(0, rows, step)]

    def _disease(self, rows: np.ndarray, weight: float, out: np.ndarray) -> None:
        ours, row_of = np.unique(self._encoded.disease_codes[rows], return_inverse=True)
        table = weight * self._encoded.disease_sets.jaccard(ours, self._sets)
        # `clip` spares the bounds check of every lookup; the codes are in range by construction.
        np.take(table[row_of], self._set_of, axis=1, out=out, mode="clip")

    def _add_descriptors(self, rows: np.ndarray, adjective: float, direction: float, out: np.ndarray) -> None:
        """Add Σ_d (adjective · J(A_d, A_d) + direction · J(L_d, L_d)) / N to `out` [rows, columns]."""
        encoded = self._encoded
        faithful = encoded.config.mode == "faithful"
        sizes = np.maximum(encoded.disease_sets.sizes[encoded.disease_codes[rows]], 1)
        scale = 1.0 / sizes if faithful else np.ones(len(rows))
        total = out if faithful else np.zeros_like(out)
        spread = np.empty_like(out)
        for d, described in enumerate(self._by_disease):
            having = np.flatnonzero(encoded.adjective_codes[rows, d] >= 0)
            if not len(having) or not len(described.adjectives):
                continue
            table = np.zeros((len(having), len(described.adjectives) + 1))
            owners = rows[having]
            table[:, :-1] += adjective * _jaccard(
                encoded.adjective_sets, encoded.adjective_codes[owners, d], described.adjectives
            )
            table[:, :-1] += direction * _jaccard(
                encoded.direction_sets, encoded.direction_codes[owners, d], described.directions
            )
            table *= scale[having, None]
            part = spread[: len(having)]
            np.take(table, described.code, axis=1, out=part, mode="clip")
            if len(having) == len(rows):
                total += part
            else:
                total[having] += part
        if not faithful:
            out += total / self._union(rows)

    def _union(self, rows: np.ndarray) -> np.ndarray:
        """|D_row ∪ D_column|, at least 1."""
        ours, row_of = np.unique(self._encoded.disease_codes[rows], return_inverse=True)
        table = np.maximum(self._encoded.disease_sets.union(ours, self._sets), 1)
        return np.asarray(np.take(table[row_of], self._set_of, axis=1))


def _combinations(encoded: EncodedStudies, columns: np.ndarray, disease: int) -> _Descriptors:
    adjectives, directions = encoded.adjective_codes[columns, disease], encoded.direction_codes[columns, disease]
    present = np.flatnonzero(adjectives >= 0)
    groups = distinct_rows(np.stack([adjectives[present], directions[present]], axis=1))
    first = present[groups.first]
    code = np.full(len(columns), len(first), np.int64)
    code[present] = groups.inverse
    return _Descriptors(code, adjectives[first], directions[first])


def _jaccard(sets: SetTable, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """J of set `rows[i]` with set `columns[j]`, each distinct pair of sets compared once."""
    ours, row_of = np.unique(rows, return_inverse=True)
    theirs, column_of = np.unique(columns, return_inverse=True)
    return np.asarray(np.take(sets.jaccard(ours, theirs)[row_of], column_of, axis=1))
