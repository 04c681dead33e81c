"""The pixel grid in thorax coordinates, and soft masks on it.

Thorax coordinates: x to the image's right (the patient's left), y down, the inner chest wall at |x| = 0.78, the
lung apex near y = -0.76, the costophrenic angles near y = 0.56. Pose and build are one affine map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, sin

import numpy as np
import numpy.typing as npt
from PIL import Image

from medtrim.data.phantom.case import Case

Array = npt.NDArray[np.float32]
Box = tuple[slice, slice]

CURVE_LOW, CURVE_HIGH, CURVE_STEPS = -1.6, 1.6, 1024
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
    x: Array
    y: Array
    row: npt.NDArray[np.intp]

    @property
    def pixel(self) -> float:
        """Height of a pixel in thorax units."""
        return 2.0 / self.size * self.matrix[4]

    def box(self, x0: float, x1: float, y0: float, y1: float) -> Box:
        """The pixels that can hold the thorax rectangle [x0, x1] × [y0, y1]; may be empty."""
        a, b, c, d, e, f = self.matrix
        determinant = a * e - b * d
        columns, rows = [], []
        for x in (x0, x1):
            for y in (y0, y1):
                u, v = x - c, y - f
                columns.append((e * u - b * v) / determinant)
                rows.append((a * v - d * u) / determinant)
        return self._span(rows), self._span(columns)

    def _span(self, detector: list[float]) -> slice:
        half = self.size / 2.0
        low = int((min(detector) + 1.0) * half)
        high = int((max(detector) + 1.0) * half) + 1
        return slice(min(max(low, 0), self.size), min(max(high, 0), self.size))

    def curve(self, values: Array, box: Box) -> Array:
        """A tabulated x(y) looked up at every pixel of `box`."""
        return values[self.row[box]]

    def sample(self, picture: Image.Image, extent: float, *, shift: float = 0.0, mirror: bool = False) -> Array:
        """A square bank picture spanning ±`extent` thorax units, on this grid, in [0, 1]."""
        a, b, c, d, e, f = self.matrix
        step, scale = 2.0 / self.size, picture.width / (2.0 * extent)
        sign = -1.0 if mirror else 1.0
        data = (
            sign * a * step * scale,
            sign * b * step * scale,
            (sign * (c - a - b - shift) + extent) * scale,
            d * step * scale,
            e * step * scale,
            (f - d - e + extent) * scale,
        )
        shape = (self.size, self.size)
        moved = picture.transform(shape, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        return np.asarray(moved, dtype=np.float32) * np.float32(1.0 / 255.0)


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
    row = ((y - np.float32(CURVE_LOW)) * np.float32(CURVE_SCALE)).astype(np.intp)
    np.clip(row, 0, CURVE_STEPS - 1, out=row)
    return Frame(size, matrix, x, y, row)


def ramp(distance: Array, width: float) -> Array:
    """0 below -width/2, 1 above width/2, linear between: an antialiased edge."""
    edge: Array = np.clip(distance * np.float32(1.0 / width) + np.float32(0.5), 0.0, 1.0)
    return edge


def dome(values: Array) -> Array:
    """1 - v² where |v| < 1, else 0: a cheap bump."""
    bump: Array = np.maximum(np.float32(1.0) - values * values, np.float32(0.0))
    return bump
