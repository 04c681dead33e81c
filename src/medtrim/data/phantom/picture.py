"""Bank pictures: drawn once on a canvas finer than the film, smoothed to its pixel, shared by all cases."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from medtrim.data.phantom.frame import EXTENT, bank_side, fineness

Picture = npt.NDArray[np.uint8]


def smooth_to_pixel(picture: Image.Image, size: int) -> Picture:
    """A picture averaged over one film pixel, its margin blank so that sampling outside finds nothing."""
    radius = (fineness(size) - 1) / 2
    smooth = np.array(picture.filter(ImageFilter.BoxBlur(radius)))
    for edge in (smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]):
        edge[:] = 0
    smooth.flags.writeable = False
    return smooth


Shape = tuple[list[tuple[float, float]], int]


def ribbon(points: list[tuple[float, float]], widths: list[float], value: int, core: int) -> list[Shape]:
    """A tube along `points`: its cortex brighter than its core, drawn as the outline's fill less the core's."""
    return [(outline(points, widths), value - core), *_shell(points, widths, core)]


def _shell(points: list[tuple[float, float]], widths: list[float], value: int) -> list[Shape]:
    inner = [w * 0.62 for w in widths]
    upper, lower = _edges(points, widths)
    inner_upper, inner_lower = _edges(points, inner)
    return [(upper + inner_upper[::-1], value), (lower + inner_lower[::-1], value)]


def _edges(
    points: list[tuple[float, float]], widths: list[float]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    upper, lower = [], []
    for i, (x, y) in enumerate(points):
        x0, y0 = points[max(i - 1, 0)]
        x1, y1 = points[min(i + 1, len(points) - 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = -(y1 - y0) / length * widths[i] / 2, (x1 - x0) / length * widths[i] / 2
        upper.append((x + nx, y + ny))
        lower.append((x - nx, y - ny))
    return upper, lower


def outline(points: list[tuple[float, float]], widths: list[float]) -> list[tuple[float, float]]:
    """The closed polygon of a stroke along `points`."""
    upper, lower = _edges(points, widths)
    return upper + lower[::-1]


def smooth_curve(points: list[tuple[float, float]], steps: int = 6) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through `points`."""
    ends = [points[0], *points, points[-1]]
    curve = []
    for p0, p1, p2, p3 in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for k in range(steps):
            t = k / steps
            curve.append(
                tuple(
                    0.5
                    * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
                    for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                )
            )
    return [*[(float(x), float(y)) for x, y in curve], points[-1]]


def ellipse(x: float, y: float, rx: float, ry: float) -> list[tuple[float, float]]:
    """A polygon of 24 corners."""
    return [
        (x + rx * math.cos(a), y + ry * math.sin(a)) for a in np.linspace(0.0, 2.0 * math.pi, 24, endpoint=False)
    ]


def add_up(shapes: list[Shape], size: int) -> Picture:
    """The sum of filled polygons, each with its own value, cut off at 255."""
    side = bank_side(size)
    unit = side / (2.0 * EXTENT)
    total = np.zeros((side, side), np.uint16)
    for polygon, value in shapes:
        layer = Image.new("L", (side, side))
        ImageDraw.Draw(layer).polygon([((x + EXTENT) * unit, (y + EXTENT) * unit) for x, y in polygon], fill=value)
        box = layer.getbbox()
        if box is not None:
            total[box[1] : box[3], box[0] : box[2]] += np.asarray(layer.crop(box))
    return smooth_to_pixel(Image.fromarray(np.minimum(total, 255).astype(np.uint8)), size)
