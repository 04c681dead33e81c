"""The noise level of a model: how similar pairs are to it that have nothing to do with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE = 2000
QUANTILE = 0.99


def measure_noise(table: Any) -> dict[str, float]:
    """The 99 % quantile of the cosine of shuffled pairs, by `using>against` (each `image` or `text`).

    Pairs are made of up to 2,000 studies, each with the study half the sample away: no randomness, and none with
    itself. Indexes of fewer than 20 studies have no noise level.
    """
    rows = table.count_rows()
    step = max(1, rows // SAMPLE)
    found = (
        table.search().where(f"text_row AND row % {step} = 0").select(["image", "text"]).limit(SAMPLE).to_arrow()
    )
    if len(found) < 20:
        return {}
    vectors = {side: _matrix(found[side]) for side in ("image", "text")}
    half = len(found) // 2
    return {
        f"{using}>{against}": round(
            float(np.quantile(cosine(vectors[using], np.roll(vectors[against], half, 0)), QUANTILE)), 4
        )
        for using in vectors
        for against in vectors
    }


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each pair of unit vectors, [N D] and [N D] to [N]."""
    return np.asarray((a * b).sum(axis=1), dtype=np.float32)


def _matrix(column: Any) -> NDArray[np.float32]:
    return np.asarray(column.to_pylist(), dtype=np.float32)
