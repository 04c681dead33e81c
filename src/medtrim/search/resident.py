"""The vectors of a small archive, compared in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
KEPT_CONDITIONS = 256


class ResidentVectors:
    """All vectors of one side of an index, compared without a scan of the disk.

    Args:
        rows: [N] numbers of the rows.
        vectors: [N D] unit vectors.
        find: the rows that fulfil SQL conditions; asked once for each set of conditions.
    """

    def __init__(
        self, rows: Rows, vectors: NDArray[np.float32], find: Callable[[Sequence[str]], Iterable[int]]
    ) -> None:
        order = np.argsort(rows)
        self.rows, self.vectors, self._find = rows[order], vectors[order], find
        self._kept: dict[tuple[str, ...], NDArray[np.bool_]] = {}

    def nearest(
        self, vector: NDArray[np.float32], conditions: Sequence[str], limit: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Up to `limit` rows by cosine similarity to the unit `vector` [D], best first, and the similarities."""
        similarities = self.vectors @ vector
        allowed = self._fulfilling(tuple(conditions)) if conditions else np.ones(len(self.rows), dtype=bool)
        places = np.flatnonzero(allowed)
        if len(places) > limit:
            places = places[np.argpartition(-similarities[places], limit)[:limit]]
        places = places[np.argsort(-similarities[places], kind="stable")]
        return self.rows[places], similarities[places]

    def _fulfilling(self, conditions: tuple[str, ...]) -> NDArray[np.bool_]:
        mask = self._kept.get(conditions)
        if mask is None:
            mask = np.isin(self.rows, np.fromiter(self._find(conditions), dtype=np.int64))
            if len(self._kept) >= KEPT_CONDITIONS:
                self._kept.clear()
            self._kept[conditions] = mask
        return mask
