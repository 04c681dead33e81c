"""Pictures drawn once and shared by all cases: rib cages, vessel trees, cloud noise.

They depend on a variant number and the image size alone, so every process makes the same ones.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from medtrim.data.phantom.frame import EXTENT, bank_side, fineness

BONE_VARIANTS, VESSEL_VARIANTS = 8, 12
RIBS = range(1, 11)
Picture = npt.NDArray[np.uint8]


def _smooth_to_pixel(picture: Image.Image, size: int) -> Picture:
    """A picture averaged over one film pixel, its margin blank so that sampling outside finds nothing."""
    radius = (fineness(size) - 1) / 2
    smooth = np.array(picture.filter(ImageFilter.BoxBlur(radius)))
    for edge in (smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]):
        edge[:] = 0
    smooth.flags.writeable = False
    return smooth


def rib_point(variant: int, rib: int, turn: float) -> tuple[float, float]:
    """Thorax coordinates on the centreline of a left rib; `turn` runs from 0 (spine) to 1 (breastbone)."""
    wobble = random.Random(variant * 101 + 7)
    slope = wobble.uniform(0.40, 0.52)
    lift = wobble.uniform(0.02, 0.05)
    top = wobble.uniform(-0.80, -0.76)
    step = wobble.uniform(0.117, 0.126)
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
def bones(variant: int, size: int, part: str) -> Picture:
    """Posterior bones (spine, dorsal ribs, scapulae, arms) or anterior ones (ventral ribs, clavicles), 8 bit."""
    side = bank_side(size)
    total = np.zeros((side, side), np.uint16)
    for polygon, value in _posterior(variant) if part == "posterior" else _anterior(variant):
        layer = Image.new("L", (side, side))
        ImageDraw.Draw(layer).polygon(
            [((x + EXTENT) * side / 2 / EXTENT, (y + EXTENT) * side / 2 / EXTENT) for x, y in polygon], fill=value
        )
        box = layer.getbbox()
        if box is not None:
            total[box[1] : box[3], box[0] : box[2]] += np.asarray(layer.crop(box))
    return _smooth_to_pixel(Image.fromarray(np.minimum(total, 255).astype(np.uint8)), size)


Shape = tuple[list[tuple[float, float]], int]


def _ribbon(points: list[tuple[float, float]], widths: list[float], value: int, core: int) -> list[Shape]:
    """A tube along `points`: its cortex brighter than its core, drawn as the outline's fill less the core's."""
    return [(_outline(points, widths), value - core), *_shell(points, widths, core)]


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


def _outline(points: list[tuple[float, float]], widths: list[float]) -> list[tuple[float, float]]:
    upper, lower = _edges(points, widths)
    return upper + lower[::-1]


def _mirror(shapes: list[Shape]) -> list[Shape]:
    return [([(-x, y) for x, y in polygon], value) for polygon, value in shapes]


def _rib(variant: int, rib: int, start: float, end: float, value: int) -> list[Shape]:
    turns = [start + (end - start) * i / 30 for i in range(31)]
    points = [rib_point(variant, rib, t) for t in turns]
    widths = [0.036 + 0.016 * t for t in turns]
    return _ribbon(points, widths, value, value // 2)


def _posterior(variant: int) -> list[Shape]:
    wobble = random.Random(variant * 131 + 11)
    shapes: list[Shape] = []
    for rib in RIBS:
        shapes += _rib(variant, rib, 0.0, 0.5, 118 - 4 * rib)
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
            shapes.append((_ellipse(x, y + height * 0.42, 0.014, 0.02), 26))
            root = half if x > 0 else -half
            tip = root * 1.75
            shapes.append(([(root, y + 0.022), (tip, y + 0.012), (tip, y + 0.034), (root, y + 0.05)], 18))
        shapes.append((_ellipse(0.0, y + height * 0.8, 0.011, 0.03), 28))
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
    shapes += [(_outline(moved[1], [0.03] * 4), 46), (_outline(moved[2], [0.05] * 4), 44)]
    shapes += [(_ellipse(1.04 + dx, -0.60 + dy, 0.11, 0.12), 92)]
    arm = [(1.06 + dx, -0.58 + dy), (1.12 + dx, -0.30 + dy), (1.16 + dx, 0.2), (1.18 + dx, 0.6)]
    return shapes + _ribbon(arm, [0.13, 0.10, 0.09, 0.10], 100, 50)


def _anterior(variant: int) -> list[Shape]:
    wobble = random.Random(variant * 151 + 13)
    shapes: list[Shape] = []
    for rib in RIBS[:9]:
        shapes += _rib(variant, rib, 0.5, rib_end(rib), 84 - 3 * rib)
    lift, slant = wobble.uniform(-0.03, 0.03), wobble.uniform(-0.06, 0.08)
    line = [
        (0.07, -0.575 + lift),
        (0.17, -0.60 + lift),
        (0.32, -0.60 + lift - slant * 0.5),
        (0.50, -0.64 + lift - slant),
        (0.72, -0.715 + lift - slant),
        (0.92, -0.735 + lift - slant),
    ]
    points = _smooth(line)
    shapes += _ribbon(
        points, [0.075 - 0.03 * math.sin(math.pi * i / (len(points) - 1)) for i in range(len(points))], 112, 52
    )
    shapes += _mirror(shapes)
    sternum = [(-0.06, -0.56), (0.06, -0.56), (0.045, -0.4), (0.045, 0.05), (-0.045, 0.05), (-0.045, -0.4)]
    return [*shapes, (sternum, 14)]


def _smooth(points: list[tuple[float, float]], steps: int = 6) -> list[tuple[float, float]]:
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


def _ellipse(x: float, y: float, rx: float, ry: float) -> list[tuple[float, float]]:
    return [
        (x + rx * math.cos(a), y + ry * math.sin(a)) for a in np.linspace(0.0, 2.0 * math.pi, 24, endpoint=False)
    ]


@lru_cache(maxsize=64)
def vessels(variant: int, size: int) -> Picture:
    """A left lung's vessel tree around the hilum; the right lung takes it mirrored. 8 bit."""
    side = bank_side(size)
    unit = side / 2 / EXTENT
    wobble = random.Random(variant * 173 + 29)
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
    return _smooth_to_pixel(picture, size)


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
