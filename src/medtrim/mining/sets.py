"""Distinct sets over a vocabulary as bit masks, and their Jaccard index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer, UInt64

WORD = 64


@dataclass(frozen=True)
class SetTable:
    """The distinct sets that occur, one row of 64-bit words each; bit j of word i stands for word 64 i + j."""

    masks: UInt64[np.ndarray, "sets words"]
    vocabulary: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def sizes(self) -> Integer[np.ndarray, " sets"]:
        """Number of members of each set."""
        return np.asarray(np.bitwise_count(self.masks).sum(axis=1, dtype=np.int64))

    def members(self, row: int) -> tuple[str, ...]:
        """The words of set `row`, in the vocabulary's order."""
        words = self.masks[row]
        return tuple(name for j, name in enumerate(self.vocabulary) if int(words[j // WORD]) >> (j % WORD) & 1)

    def jaccard(
        self, rows: Integer[np.ndarray, " rows"], columns: Integer[np.ndarray, " columns"]
    ) -> Float64[np.ndarray, "rows columns"]:
        """J(X, Y) = |X ∩ Y| / |X ∪ Y| of the sets `rows` against `columns`; two empty sets have J = 1."""
        shared = np.zeros((len(rows), len(columns)), np.int64)
        for word in self.masks.T:
            shared += np.bitwise_count(word[rows][:, None] & word[columns][None, :])
        union = self.union(rows, columns)
        return np.asarray(np.divide(shared, union, out=np.ones(shared.shape), where=union > 0))

    def union(
        self, rows: Integer[np.ndarray, " rows"], columns: Integer[np.ndarray, " columns"]
    ) -> Integer[np.ndarray, "rows columns"]:
        """|X ∪ Y| of the sets `rows` against `columns`."""
        union = np.zeros((len(rows), len(columns)), np.int64)
        for word in self.masks.T:
            union += np.bitwise_count(word[rows][:, None] | word[columns][None, :])
        return union


def pack(
    rows: Integer[np.ndarray, " items"], words: Integer[np.ndarray, " items"], *, count: int, vocabulary: int
) -> UInt64[np.ndarray, "count words"]:
    """Bit masks of `count` sets, where item i says that set `rows[i]` holds vocabulary entry `words[i]`."""
    masks = np.zeros((count, max(1, -(-vocabulary // WORD))), np.uint64)
    bits = np.left_shift(np.uint64(1), (words % WORD).astype(np.uint64))
    np.bitwise_or.at(masks, (rows, words // WORD), bits)
    return masks


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of a matrix in order of first appearance: `first[inverse[i]]` is a row equal to row i."""

    first: Integer[np.ndarray, " distinct"]
    inverse: Integer[np.ndarray, " rows"]


def distinct_rows(matrix: Integer[np.ndarray, "rows columns"]) -> DistinctRows:
    """Group equal rows.

    Rows are grouped by a 64-bit hash first (sorting a million wide rows costs seconds); every row is then compared
    with its representative, and the exact sort decides should two different rows ever share a hash.
    """
    if not len(matrix):
        return DistinctRows(np.zeros(0, np.int64), np.zeros(0, np.int64))
    key = np.zeros(len(matrix), np.uint64)
    for column in matrix.T:
        key = mix64(key ^ column.astype(np.uint64))
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    if (matrix[first[inverse]] != matrix).any():
        _, first, inverse = np.unique(matrix, axis=0, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return DistinctRows(first[order], rank[inverse])


def mix64(x: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014), a bijection on 64 bits that spreads every bit."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
