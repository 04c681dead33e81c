"""Rib cages, spines, shoulder girdles: a few variants, drawn once for each image size."""

from __future__ import annotations

import math
import random
from functools import lru_cache

from medtrim.data.phantom.picture import Picture, Shape, add_up, ellipse, outline, ribbon, smooth_curve
from medtrim.data.phantom.world import World

BONE_VARIANTS = 8
RIBS = range(1, 11)


def rib_point(world: World, variant: int, rib: int, turn: float) -> tuple[float, float]:
    """Thorax coordinates on the centreline of a left rib; `turn` runs from 0 (spine) to 1 (breastbone)."""
    wobble = random.Random((world.variant + variant) * 101 + 7)
    slope = wobble.uniform(*world.rib_slope)
    lift = wobble.uniform(0.02, 0.05)
    top = wobble.uniform(-0.80, -0.76)
    step = wobble.uniform(*world.rib_step)
    start = top + step * (rib - 1) * (0.9 + 0.012 * rib)
    reach = _reach(start + 0.5 * slope * min(1.0, 0.45 + 0.12 * rib))
    angle = math.pi * turn
    drop = slope * min(1.0, 0.45 + 0.12 * rib)
    x = 0.06 + (reach - 0.06) * math.sin(angle) ** 0.75
    y = start + drop * (1.0 - math.cos(angle)) / 2.0 - lift * math.sin(2.0 * angle)
    return x, y


def _reach(y: float) -> float:
    """How far out a rib lies: just outside the lung's elliptic wall."""
    t = min(max((0.55 - y) / 1.34, 0.0), 1.0)
    return 0.31 + 0.49 * math.sqrt(max(1.0 - t * t, 0.01))


def rib_end(rib: int) -> float:
    """Where the bony rib ends and cartilage, unseen, begins."""
    return (0.80, 0.86, 0.87, 0.87, 0.86, 0.83, 0.78, 0.70, 0.62, 0.55)[rib - 1]


@lru_cache(maxsize=64)
def bones(world: World, variant: int, size: int, part: str) -> Picture:
    """Posterior bones (spine, dorsal ribs, scapulae, arms) or anterior ones (ventral ribs, clavicles), 8 bit."""
    return add_up(_posterior(world, variant) if part == "posterior" else _anterior(world, variant), size)


def _mirror(shapes: list[Shape]) -> list[Shape]:
    return [([(-x, y) for x, y in polygon], value) for polygon, value in shapes]


def _rib(world: World, variant: int, rib: int, start: float, end: float, value: int) -> list[Shape]:
    turns = [start + (end - start) * i / 30 for i in range(31)]
    points = [rib_point(world, variant, rib, t) for t in turns]
    # Towards its cartilage a rib thins out.
    thick, more = world.rib_width
    widths = [(thick + more * t) * min(1.0, 0.3 + 6.0 * (rib_end(rib) - t)) for t in turns]
    return ribbon(points, widths, value, value // 2)


def _posterior(world: World, variant: int) -> list[Shape]:
    wobble = random.Random((world.variant + variant) * 131 + 11)
    shapes: list[Shape] = []
    for rib in RIBS:
        shapes += _rib(world, variant, rib, 0.0, 0.5, 118 - 4 * rib)
    scapula = _scapula(wobble)
    shapes += scapula
    shapes += _mirror(shapes)
    return shapes + _spine()


def _spine() -> list[Shape]:
    """Vertebral bodies with waists and discs between, pedicles, spinous processes."""
    shapes: list[Shape] = []
    y = -1.28
    while y < 1.28:
        height = 0.085 + 0.035 * (y + 1.3) / 2.6
        half = 0.060 + 0.02 * (y + 1.3) / 2.6
        low, middle = y + height, y + height / 2
        waist = half * 0.9
        body = [(-half, y), (half, y), (waist, middle), (half, low), (-half, low), (-waist, middle)]
        shapes.append((body, 40))
        for x in (-half * 0.62, half * 0.62):
            shapes.append((ellipse(x, y + height * 0.42, 0.014, 0.02), 26))
            root = half if x > 0 else -half
            tip = root * 1.75
            shapes.append(([(root, y + 0.022), (tip, y + 0.012), (tip, y + 0.034), (root, y + 0.05)], 10))
        shapes.append((ellipse(0.0, y + height * 0.8, 0.011, 0.03), 28))
        y += height + 0.014
    return shapes


def _scapula(wobble: random.Random) -> list[Shape]:
    dx, dy = wobble.uniform(-0.03, 0.05), wobble.uniform(-0.04, 0.04)
    blade = [
        (0.56, -0.60),
        (0.70, -0.62),
        (0.90, -0.66),
        (0.86, -0.52),
        (0.80, -0.30),
        (0.74, -0.06),
        (0.69, 0.0),
        (0.66, -0.08),
        (0.60, -0.34),
    ]
    rim = [(0.90, -0.62), (0.85, -0.45), (0.79, -0.24), (0.72, -0.02)]
    spine = [(0.58, -0.56), (0.74, -0.66), (0.92, -0.74), (1.02, -0.74)]
    moved = [[(x + dx, y + dy) for x, y in line] for line in (blade, rim, spine)]
    shapes: list[Shape] = [(moved[0], 34)]
    shapes += [(outline(moved[1], [0.03] * 4), 46), (outline(moved[2], [0.05] * 4), 44)]
    shapes += [(ellipse(1.04 + dx, -0.60 + dy, 0.11, 0.12), 92)]
    arm = [(1.06 + dx, -0.58 + dy), (1.12 + dx, -0.30 + dy), (1.16 + dx, 0.2), (1.18 + dx, 0.6)]
    return shapes + ribbon(arm, [0.13, 0.10, 0.09, 0.10], 100, 50)


def _anterior(world: World, variant: int) -> list[Shape]:
    wobble = random.Random((world.variant + variant) * 151 + 13)
    shapes: list[Shape] = []
    for rib in RIBS[:9]:
        shapes += _rib(world, variant, rib, 0.5, rib_end(rib), 84 - 3 * rib)
    lift, slant = wobble.uniform(-0.03, 0.03), wobble.uniform(-0.06, 0.08)
    line = [
        (0.07, -0.575 + lift),
        (0.17, -0.60 + lift),
        (0.32, -0.60 + lift - slant * 0.5),
        (0.50, -0.635 + lift - 0.8 * slant),
        (0.72, -0.69 + lift - slant),
        (0.90, -0.70 + lift - slant),
    ]
    points = smooth_curve(line)
    shapes += ribbon(
        points, [0.075 - 0.03 * math.sin(math.pi * i / (len(points) - 1)) for i in range(len(points))], 112, 52
    )
    shapes += _mirror(shapes)
    sternum = [(-0.06, -0.56), (0.06, -0.56), (0.045, -0.4), (0.045, 0.05), (-0.045, 0.05), (-0.045, -0.4)]
    return [*shapes, (sternum, 14)]
