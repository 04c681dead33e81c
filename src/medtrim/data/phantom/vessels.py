"""Vessel trees of the lungs."""

from __future__ import annotations

import math
import random
from functools import lru_cache

from PIL import Image, ImageDraw

from medtrim.data.phantom.frame import EXTENT, bank_side
from medtrim.data.phantom.picture import Picture, smooth_to_pixel
from medtrim.data.phantom.world import World

VESSEL_VARIANTS = 12


@lru_cache(maxsize=64)
def vessels(world: World, variant: int, size: int) -> Picture:
    """A left lung's vessel tree around the hilum; the right lung takes it mirrored. 8 bit."""
    side = bank_side(size)
    unit = side / 2 / EXTENT
    wobble = random.Random((world.variant + variant) * 173 + 29)
    strokes: list[tuple[float, list[tuple[float, float]]]] = []
    for x, y, angle, width, length in _trunks(wobble):
        _grow(x, y, math.radians(angle), width, length, wobble, strokes)
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    for width, points in sorted(strokes, key=lambda s: s[0]):
        dots = [((x + EXTENT) * unit, (y + EXTENT) * unit) for x, y in points]
        # Attenuation follows the diameter; a stroke cannot be thinner than one fine pixel, so it gets fainter.
        drawn = max(1, round(width * unit))
        value = 255 * min(1.0, width / 0.034) * min(1.0, width * unit / drawn)
        pen.line(dots, fill=max(8, int(value)), width=drawn, joint="curve")
    return smooth_to_pixel(picture, size)


def _trunks(wobble: random.Random) -> list[tuple[float, float, float, float, float]]:
    """Start, direction in degrees (down is positive), width and length of a lung's larger vessels.

    The descending artery is a trunk along which the lower lobe's branches leave one after the other; upper branches
    are thinner, as blood falls; veins run flatter into the left atrium.
    """
    trunks = []
    for i, angle in enumerate((78, 66, 48, 30)):
        t = 0.25 * i
        at = (0.17 + 0.05 * (1 - t), -0.04 + 0.22 * (1 - t))
        trunks.append((*at, angle + wobble.gauss(0, 7), wobble.uniform(0.022, 0.028), wobble.uniform(0.36, 0.52)))
    for angle in (-82, -62, -38):
        at = (0.16, -0.12 + wobble.uniform(-0.03, 0.03))
        trunks.append((*at, angle + wobble.gauss(0, 8), wobble.uniform(0.018, 0.024), wobble.uniform(0.45, 0.6)))
    for angle in (-12, 12):
        at = (0.19, -0.05 + wobble.uniform(-0.03, 0.04))
        trunks.append((*at, angle + wobble.gauss(0, 8), wobble.uniform(0.018, 0.023), wobble.uniform(0.40, 0.52)))
    trunks.append((0.15, -0.10, 62 + wobble.gauss(0, 5), 0.05, 0.27))
    return trunks


def _grow(
    x: float,
    y: float,
    angle: float,
    width: float,
    length: float,
    wobble: random.Random,
    strokes: list[tuple[float, list[tuple[float, float]]]],
) -> None:
    """One vessel to its end, with its branches; recursion stops at hair width."""
    if width < 0.0035 or length < 0.03:
        return
    steps = max(3, int(length / 0.035))
    thickness = width
    for step in range(steps):
        angle += wobble.gauss(0.0, 0.13)
        nx, ny = x + math.cos(angle) * length / steps, y + math.sin(angle) * length / steps
        strokes.append((thickness, [(x, y), (nx, ny)]))
        x, y = nx, ny
        thickness = width * (1.0 - 0.62 * (step + 1) / steps)
        if wobble.random() < 0.42:
            turn = wobble.choice((-1.0, 1.0)) * wobble.uniform(0.4, 0.9)
            remaining = length * (1.0 - (step + 1) / steps)
            _grow(
                x, y, angle + turn, thickness * 0.66, remaining * wobble.uniform(0.5, 0.85) + 0.05, wobble, strokes
            )
