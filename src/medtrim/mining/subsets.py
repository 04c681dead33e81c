"""Random subsets, many at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer


def draw_subsets(
    rows: int, population: int, size: int, rng: np.random.Generator
) -> Integer[np.ndarray, "rows size"]:
    """One uniform subset of `size` out of range(`population`) a row, all rows at once, in no particular order.

    Floyd's algorithm (Bentley & Floyd, CACM 30(9), 1987): step i draws below population − size + i + 1 and takes
    population − size + i instead where that was drawn before. Comparing with all earlier draws costs size²/2
    comparisons a row, but of small integers side by side in memory, which is several times faster than a table of
    what is taken.
    """
    kind = np.int16 if population < 2**15 else np.int32
    bounds = np.arange(population - size + 1, population + 1, dtype=np.uint64)[:, None]
    # Multiply and shift: a number below each bound from 32 random bits, off uniform by less than 10⁻⁵.
    drawn = (rng.integers(1 << 32, size=(size, rows), dtype=np.uint32) * bounds >> np.uint64(32)).astype(kind)
    for step in range(1, size):
        again = (drawn[:step] == drawn[step]).any(axis=0)
        drawn[step, again] = population - size + step
    return np.ascontiguousarray(drawn.T).astype(np.int64)
