"""Reports that share most of their word triples, found by MinHash in time that grows with their number.

Broder, "On the resemblance and containment of documents" (1997); bands as in Leskovec, Rajaraman & Ullman,
"Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Integer, UInt64

LIKE = 0.8
"""Reports are near-identical from this Jaccard index of their word triples: say, one word in thirty changed."""

_TRIPLE = 3
# At an index of 0.8 two texts share one of 16 bands of 4 hashes with a probability of 0.9997.
_BANDS, _ROWS = 16, 4


def near_identical(texts: Sequence[Sequence[str]]) -> Integer[np.ndarray, " texts"]:
    """A number for each text, given as its words; texts that are near-identical, be it by way of others, share it.

    Texts that share a band are compared exactly, each with its neighbour and the first of the band, so that the
    work grows linearly even where thousands follow one template.

    Example:
        >>> near_identical([["no", "acute", "disease"], ["no", "acute", "disease"], ["large", "effusion"]]).tolist()
        [0, 0, 2]
    """
    known: dict[str, int] = {}
    sets = [_triples(words, known) for words in texts]
    group = list(range(len(sets)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
    least = np.array([_mixed(triples[:, None] * factors).min(axis=0) for triples in sets], np.uint64)
    for band in range(_BANDS if len(sets) else 0):
        key = np.zeros(len(sets), np.uint64)
        for column in least[:, band * _ROWS : (band + 1) * _ROWS].T:
            key = _mixed(key ^ column)
        order = np.argsort(key, kind="stable")
        first = 0
        for place in range(1, len(order)):
            if key[order[place]] != key[order[first]]:
                first = place
                continue
            for other in {first, place - 1}:
                a, b = root(int(order[place])), root(int(order[other]))
                if a != b and jaccard(sets[order[place]], sets[order[other]]) >= LIKE:
                    group[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(len(group))], np.int64)


def jaccard(one: UInt64[np.ndarray, " one"], other: UInt64[np.ndarray, " other"]) -> float:
    """|A ∩ B| / |A ∪ B| of two sets as arrays of distinct values."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _triples(words: Sequence[str], known: dict[str, int]) -> UInt64[np.ndarray, " triples"]:
    """The distinct word triples of a text as hashes; a text of fewer words is one triple."""
    for word in words:
        if word not in known:
            known[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
    codes = np.zeros(max(_TRIPLE, len(words)), np.uint64)
    codes[: len(words)] = [known[word] for word in words]
    mixed = _mixed(codes[:-2] ^ _mixed(codes[1:-1] ^ _mixed(codes[2:])))
    return np.unique(mixed)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of MurmurHash3, a bijection on 64 bits."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.asarray(x ^ (x >> np.uint64(33)))
