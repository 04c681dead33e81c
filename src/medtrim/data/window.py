"""Gray values of more than 8 bits brought to uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Where a file names no window, the few darkest and brightest pixels (collimation, burnt-in markers) do not set it.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def to_uint8(values: NDArray[np.generic], *, valid: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """`values` [H W] scaled linearly so that their 0.5th percentile is 0 and their 99.5th is 255.

    Only `valid` pixels set the window; non-finite ones never do, and become 0. Where the percentiles coincide,
    minimum and maximum take their place.
    """
    numbers = values.astype(np.float32)
    finite = np.isfinite(numbers)
    inside = numbers[finite if valid is None else finite & valid]
    if not inside.size:
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = np.percentile(inside, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if low == high:
        low, high = inside.min(), inside.max()
    return scale(np.where(finite, numbers, low), low=float(low), high=float(high))


def scale(numbers: NDArray[np.float32], *, low: float, high: float) -> NDArray[np.uint8]:
    """`numbers` with [low, high] stretched to [0, 255], clipped and rounded; zeros where high = low."""
    if high <= low:
        return np.zeros(numbers.shape, dtype=np.uint8)
    levels: NDArray[np.uint8] = np.rint(np.clip((numbers - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels
