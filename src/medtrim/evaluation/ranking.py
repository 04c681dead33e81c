"""Similarities of embeddings and the order they put a gallery in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Num

# Cosine similarities are rounded to this many decimals: what is equal on paper is then equal on every machine, and
# ties are broken by study id instead of by the last bit of a matrix product.
SIMILARITY_DECIMALS = 7
_HIGHEST = 2 * 10**SIMILARITY_DECIMALS + 1
# Queries that are ranked at a time, and pairs of a query and a gallery study: 16 MiB a matrix of numbers.
BLOCK = 1024
PAIRS = 1 << 21


def blocks(rows: Integer[np.ndarray, " rows"], gallery: int) -> Iterator[Integer[np.ndarray, " block"]]:
    """`rows` in blocks that have at most `PAIRS` pairs with `gallery` studies, so that memory does not grow."""
    step = max(1, min(BLOCK, PAIRS // max(1, gallery)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def unit(vectors: Float[np.ndarray, "studies dimension"]) -> Float64[np.ndarray, "studies dimension"]:
    """Rows scaled to length 1 in double precision; a zero row stays zero, at similarity 0 to everything."""
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, length, out=np.zeros_like(wide), where=length > 0))


def similarities(
    queries: Float64[np.ndarray, "queries dimension"], gallery: Float64[np.ndarray, "gallery dimension"]
) -> Float64[np.ndarray, "queries gallery"]:
    """Cosine similarities of unit vectors, rounded to `SIMILARITY_DECIMALS`."""
    return np.asarray(np.round(queries @ gallery.T, SIMILARITY_DECIMALS))


def levels(similarity: Float64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Similarities as whole numbers, at the resolution of `SIMILARITY_DECIMALS`: −1 is 0."""
    return np.asarray(np.rint((similarity + 1.0) * 10.0**SIMILARITY_DECIMALS), np.int64)


def sorted_with_index(keys: Int64[np.ndarray, "*rows items"]) -> Int64[np.ndarray, "*rows items"]:
    """The stable order of `keys` (0 ≤ key < 2³¹) along the last axis.

    Key and place are packed into one number and sorted as such: numpy sorts numbers with vector instructions, but
    not an index beside them.
    """
    packed = np.sort((keys << 32) | np.arange(keys.shape[-1]), axis=-1)
    return np.asarray(packed & 0xFFFFFFFF)


def rank_gallery(similarity: Float64[np.ndarray, "queries gallery"]) -> Integer[np.ndarray, "queries gallery"]:
    """Gallery rows by falling similarity, ties by row (rows are in the order of the study ids)."""
    return sorted_with_index(_HIGHEST - levels(similarity))


def rank_without_own(
    similarity: Float64[np.ndarray, "queries gallery"], own: Integer[np.ndarray, " queries"]
) -> Integer[np.ndarray, "queries others"]:
    """`rank_gallery` with each query's own study left out of its gallery."""
    keys = _HIGHEST - levels(similarity)
    keys[np.arange(len(own)), own] = 2**31 - 1
    return sorted_with_index(keys)[:, :-1]


def ahead_of_own(
    similarity: Float64[np.ndarray, "queries gallery"], own: Integer[np.ndarray, " queries"]
) -> Bool[np.ndarray, "queries gallery"]:
    """Which of the whole gallery is ranked before each query's own study, ties by row."""
    value = similarity[np.arange(len(own)), own][:, None]
    before = np.arange(similarity.shape[1])[None, :] < own[:, None]
    return np.asarray((similarity > value) | ((similarity == value) & before))


def precision_at(
    relevant: Bool[np.ndarray, "queries ranked"], k: int, total: Integer[np.ndarray, " queries"]
) -> Float64[np.ndarray, " queries"]:
    """P@k = (relevant among the first k) / min(k, number of relevant); NaN for a query that has none.

    Dividing by k alone would cap the score of a query with fewer than k relevant studies below 1.
    """
    return _divide(relevant[:, :k].sum(axis=1), np.minimum(k, total))


def average_precision(
    relevant: Bool[np.ndarray, "queries ranked"], total: Integer[np.ndarray, " queries"]
) -> Float64[np.ndarray, " queries"]:
    """AP = (1/R) Σ over relevant ranks r of (relevant among the first r) / r; NaN for a query without any."""
    hits = np.cumsum(relevant, axis=1)
    ranks = np.arange(1, relevant.shape[1] + 1)
    return _divide((relevant * hits / ranks).sum(axis=1), total)


def ndcg(
    gains: Float64[np.ndarray, "queries k"], ideal: Float64[np.ndarray, "queries k"]
) -> Float64[np.ndarray, " queries"]:
    """nDCG@k = DCG / ideal DCG with DCG = Σ_i gain_i / log2(i + 1) (Järvelin & Kekäläinen 2002, linear gain).

    `gains` are those of the first k retrieved, `ideal` the k largest of the gallery. NaN where no gain is above 0.
    """
    discount = 1.0 / np.log2(np.arange(2, gains.shape[1] + 2))
    return _divide(gains @ discount, ideal @ discount)


def _divide(
    top: Num[np.ndarray, " queries"], bottom: Num[np.ndarray, " queries"]
) -> Float64[np.ndarray, " queries"]:
    out = np.full(len(top), np.nan)
    return np.asarray(np.divide(top.astype(np.float64), bottom, out=out, where=bottom > 0))
