"""The pixel grid in thorax coordinates, and soft masks on it.

Thorax coordinates: x to the image's right (the patient's left), y down, the inner chest wall at |x| = 0.78, the
lung apex near y = -0.76, the costophrenic angles near y = 0.56. Pose and build are one affine map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from medtrim.data.phantom.case import Case
from medtrim.data.phantom.world import World, load_world

# In fact float32 throughout; numpy's stubs widen float32 scalars times arrays.
Array = npt.NDArray[np.floating[Any]]
Box = tuple[slice, slice]

CURVE_LOW, CURVE_HIGH, CURVE_STEPS = -1.6, 1.6, 640
EXTENT = 1.3
CURVE_SCALE = CURVE_STEPS / (CURVE_HIGH - CURVE_LOW)


@lru_cache(maxsize=1)
def curve_axis() -> Array:
    """The y values at which a curve x(y) is tabulated."""
    axis = (CURVE_LOW + (np.arange(CURVE_STEPS) + 0.5) / CURVE_SCALE).astype(np.float32)
    axis.flags.writeable = False
    return axis


@lru_cache(maxsize=8)
def detector_grid(size: int) -> tuple[Array, Array]:
    """Detector coordinates in [-1, 1] of the pixel centres, shapes [1 size] and [size 1]."""
    line = ((np.arange(size) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    line.flags.writeable = False
    return line[None, :], line[:, None]


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing surface: thorax coordinates `x`, `y` [size size] and the map that made them."""

    size: int
    matrix: tuple[float, float, float, float, float, float]
    inverse: tuple[float, float, float, float, float, float]
    x: Array
    y: Array
    row: npt.NDArray[np.intp]
    bank_row: npt.NDArray[np.intp]
    bank_column: npt.NDArray[np.intp]
    bank_scale: float
    world: World

    @property
    def pixel(self) -> float:
        """Height of a pixel in thorax units."""
        return 2.0 / self.size * self.matrix[4]

    def box(self, x0: float, x1: float, y0: float, y1: float) -> Box:
        """The pixels that can hold the thorax rectangle [x0, x1] × [y0, y1]; may be empty."""
        ix, iy, i0, jx, jy, j0 = self.inverse
        x, y, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        column, across = ix * x + iy * y + i0, abs(ix) * dx + abs(iy) * dy
        row, along = jx * x + jy * y + j0, abs(jx) * dx + abs(jy) * dy
        return self._span(row, along), self._span(column, across)

    def _span(self, middle: float, half: float) -> slice:
        low, high = int(middle - half), int(middle + half) + 1
        return slice(min(max(low, 0), self.size), min(max(high, 0), self.size))

    def curve(self, values: Array, box: Box) -> Array:
        """A tabulated x(y) looked up at every pixel of `box`."""
        return values[self.row[box]]

    def sample(
        self, picture: npt.NDArray[np.uint8], box: Box, *, shift: float = 0.0, mirror: bool = False
    ) -> Array:
        """A bank picture at the pixels of `box`, in [0, 1]; `shift` moves it to the image's right.

        The picture is finer than the film and already smoothed to the film's pixel, so the nearest sample will do.
        """
        moved = round(shift * self.bank_scale)
        columns = self.bank_column[box]
        columns = (picture.shape[1] - 1 + moved) - columns if mirror else columns - moved
        taken = picture.ravel().take(self.bank_row[box] + columns, mode="clip")
        return np.multiply(taken, np.float32(1.0 / 255.0), dtype=np.float32)


def make_frame(case: Case, size: int) -> Frame:
    """The grid of a case at `size` pixels."""
    patient, technique = case.patient, case.technique
    across, along = detector_grid(size)
    kx = 1.0 / (technique.scale * patient.width)
    ky = 1.0 / (technique.scale * patient.height)
    c, s = cos(technique.roll), sin(technique.roll)
    u0, v0 = technique.shift_x, technique.shift_y
    matrix = (c * kx, s * kx, -(c * u0 + s * v0) * kx, -s * ky, c * ky, (s * u0 - c * v0) * ky)
    a, b, cc, d, e, f = (np.float32(m) for m in matrix)
    x = (a * across + cc) + b * along
    y = (d * across + f) + e * along
    row = _index(y, -CURVE_LOW, CURVE_SCALE, CURVE_STEPS)
    side = bank_side(size)
    scale = side / (2.0 * EXTENT)
    bank_row = _index(y, EXTENT, scale, side)
    bank_row *= side
    return Frame(
        size,
        matrix,
        _inverse(matrix, size),
        x,
        y,
        row,
        bank_row,
        _index(x, EXTENT, scale, side),
        scale,
        load_world(case.world),
    )


def _inverse(
    matrix: tuple[float, float, float, float, float, float], size: int
) -> tuple[float, float, float, float, float, float]:
    """The affine map from thorax coordinates to column and row, in pixels."""
    a, b, c, d, e, f = matrix
    half = size / 2.0
    k = half / (a * e - b * d)
    return (e * k, -b * k, (b * f - e * c) * k + half, -d * k, a * k, (d * c - a * f) * k + half)


def _index(values: Array, offset: float, scale: float, count: int) -> npt.NDArray[np.intp]:
    index = ((values + np.float32(offset)) * np.float32(scale)).astype(np.intp)
    np.maximum(index, 0, out=index)
    np.minimum(index, count - 1, out=index)
    return index


def fineness(size: int) -> int:
    """How many samples of a bank picture there are to a pixel of a film of `size` pixels."""
    return 4 if size <= 160 else 2


def bank_side(size: int) -> int:
    """Samples along an edge of a bank picture, which spans ±EXTENT thorax units."""
    return round(EXTENT * size) * fineness(size)


def unit(values: Array) -> Array:
    """`values` cut off below 0 and above 1; faster than `numpy.clip` on small arrays."""
    cut = np.maximum(values, np.float32(0.0))
    return np.minimum(cut, np.float32(1.0), out=cut)


def ramp(distance: Array, width: float) -> Array:
    """0 below -width/2, 1 above width/2, linear between: an antialiased edge."""
    edge: Array = distance * np.float32(1.0 / width)
    edge += np.float32(0.5)
    np.maximum(edge, np.float32(0.0), out=edge)
    np.minimum(edge, np.float32(1.0), out=edge)
    return edge


def dome(values: Array) -> Array:
    """1 - v² where |v| < 1, else 0: a cheap bump."""
    bump: Array = values * values
    np.subtract(np.float32(1.0), bump, out=bump)
    np.maximum(bump, np.float32(0.0), out=bump)
    return bump
