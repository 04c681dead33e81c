"""Queries in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Integer

BLOCK = 1024


def blocks(rows: Integer[np.ndarray, " rows"]) -> Iterator[Integer[np.ndarray, " block"]]:
    """`rows` in blocks, so that memory grows with the gallery and not with its square."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]
