"""From a table of mined triplets to those that lie within a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class TripletIndex:
    """Finds the triplets whose three studies are all in a batch.

    Args:
        triplets: int [T 3], rows of studies (anchor, positive, negative).
        count: N, number of studies.
    """

    def __init__(self, triplets: Rows, count: int) -> None:
        order = np.argsort(triplets[:, 0], kind="stable")
        self._sorted = triplets[order]
        self._starts = np.searchsorted(self._sorted[:, 0], np.arange(count + 1))
        self._count = count

    def within(self, rows: Rows) -> Rows:
        """Positions in the batch `rows` [B] of the triplets within it: int [T' 3], by anchor, then table order."""
        position = np.full(self._count, -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        spans = [np.arange(self._starts[r], self._starts[r + 1]) for r in rows]
        candidates = position[self._sorted[np.concatenate(spans)]] if spans else np.empty((0, 3), dtype=np.int64)
        return candidates[(candidates >= 0).all(axis=1)].reshape(-1, 3)
