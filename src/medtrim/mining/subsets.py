"""Random subsets, many at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer


def draw_subsets(
    rows: int, population: int, size: int, rng: np.random.Generator
) -> Integer[np.ndarray, "rows size"]:
    """One uniform subset of `size` out of range(`population`) a row, all rows at once, in no particular order.

    Floyd's algorithm (Bentley & Floyd, CACM 30(9), 1987): `size` steps whatever the population.
    """
    bounds = np.arange(population - size + 1, population + 1, dtype=np.uint64)[:, None]
    # Multiply and shift: a number below each bound from 32 random bits, off uniform by less than 10⁻⁶.
    drawn = (rng.integers(1 << 32, size=(size, rows), dtype=np.uint32) * bounds >> np.uint64(32)).astype(np.int64)
    taken = np.zeros(rows * population, bool)
    start = np.arange(rows) * population
    drawn += start
    for step, place in enumerate(drawn):
        np.copyto(place, start + (population - size + step), where=taken.take(place))
        taken[place] = True
    drawn -= start
    return np.ascontiguousarray(drawn.T)
