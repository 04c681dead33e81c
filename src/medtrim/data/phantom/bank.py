"""Pictures drawn once and shared by all cases: rib cages, vessel trees, cloud noise.

They depend on a variant number and the image size alone, so every process makes the same ones.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from medtrim.data.phantom.frame import Array

EXTENT = 1.3
BONE_VARIANTS, VESSEL_VARIANTS = 8, 12
RIBS = range(1, 11)


def rib_point(variant: int, rib: int, turn: float) -> tuple[float, float]:
    """Thorax coordinates on the centreline of a left rib; `turn` runs from 0 (spine) to 1 (breastbone)."""
    wobble = random.Random(variant * 101 + 7)
    slope = wobble.uniform(0.34, 0.46)
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
def bones(variant: int, size: int, part: str) -> Image.Image:
    """Posterior bones (spine, dorsal ribs, scapulae, arms) or anterior ones (ventral ribs, clavicles), 8 bit."""
    fine = 4 if size <= 160 else 2
    side = round(EXTENT * size) * fine
    total = np.zeros((side, side), np.uint16)
    for polygon, value in _posterior(variant) if part == "posterior" else _anterior(variant):
        layer = Image.new("L", (side, side))
        ImageDraw.Draw(layer).polygon(
            [((x + EXTENT) * side / 2 / EXTENT, (y + EXTENT) * side / 2 / EXTENT) for x, y in polygon], fill=value
        )
        box = layer.getbbox()
        if box is not None:
            total[box[1] : box[3], box[0] : box[2]] += np.asarray(layer.crop(box))
    return Image.fromarray(np.minimum(total, 255).astype(np.uint8)).reduce(fine)


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
    y = -1.28
    while y < 1.28:
        height = 0.085 + 0.035 * (y + 1.3) / 2.6
        half = 0.062 + 0.02 * (y + 1.3) / 2.6
        body = [
            (-half, y),
            (half, y),
            (half * 0.9, y + height * 0.5),
            (half, y + height),
            (-half, y + height),
            (-half * 0.9, y + height * 0.5),
        ]
        shapes.append((body, 88))
        for x in (-half * 0.62, half * 0.62):
            shapes.append((_ellipse(x, y + height * 0.42, 0.014, 0.02), 60))
        shapes.append((_ellipse(0.0, y + height * 0.8, 0.011, 0.03), 58))
        shapes.append(
            (
                [
                    (-half - 0.05, y + 0.03),
                    (half + 0.05, y + 0.03),
                    (half + 0.05, y + 0.052),
                    (-half - 0.05, y + 0.052),
                ],
                26,
            )
        )
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
        shapes += _rib(variant, rib, 0.5, rib_end(rib), 66 - 3 * rib)
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
def vessels(variant: int, size: int) -> Image.Image:
    """A left lung's vessel tree around the hilum; the right lung takes it mirrored. 8 bit."""
    fine = 4 if size <= 160 else 2
    side = round(EXTENT * size) * fine
    unit = side / 2 / EXTENT
    wobble = random.Random(variant * 173 + 29)
    strokes: list[tuple[float, list[tuple[float, float]]]] = []
    trunks = 9
    for i in range(trunks):
        angle = math.radians(-100 + 215 * (i + wobble.uniform(-0.25, 0.25)) / (trunks - 1))
        width = wobble.uniform(0.024, 0.034) * (1.15 if math.sin(angle) > 0.2 else 0.85)
        _grow(
            0.15 + 0.05 * math.cos(angle),
            -0.05 + 0.06 * math.sin(angle),
            angle,
            width,
            wobble.uniform(0.50, 0.74),
            wobble,
            strokes,
        )
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    for width, points in sorted(strokes, key=lambda s: s[0]):
        dots = [((x + EXTENT) * unit, (y + EXTENT) * unit) for x, y in points]
        # Attenuation follows the diameter; a stroke cannot be thinner than one fine pixel, so it gets fainter.
        drawn = max(1, round(width * unit))
        value = 255 * min(1.0, width / 0.03) ** 0.8 * min(1.0, width * unit / drawn)
        pen.line(dots, fill=max(8, int(value)), width=drawn, joint="curve")
    return picture.reduce(fine)


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
        angle += wobble.gauss(0.0, 0.11)
        nx, ny = x + math.cos(angle) * length / steps, y + math.sin(angle) * length / steps
        strokes.append((thickness, [(x, y), (nx, ny)]))
        x, y = nx, ny
        thickness = width * (1.0 - 0.62 * (step + 1) / steps)
        if wobble.random() < 0.42:
            turn = wobble.choice((-1.0, 1.0)) * wobble.uniform(0.45, 0.95)
            remaining = length * (1.0 - (step + 1) / steps)
            _grow(
                x, y, angle + turn, thickness * 0.66, remaining * wobble.uniform(0.5, 0.85) + 0.05, wobble, strokes
            )


@lru_cache(maxsize=8)
def clouds(size: int) -> Array:
    """Tileable cloud noise, mean 0, deviation 1, shape [2·size 2·size]: random phases under a power law."""
    side = 2 * size
    fine = np.random.Generator(np.random.PCG64(20240501))
    base = 64
    # The same 64 × 64 coarse spectrum at every size, so that a case looks alike at 64 and at 512 pixels.
    spectrum = np.zeros((side, side), np.complex128)
    phases = np.exp(2j * np.pi * fine.random((base, base)))
    frequency = np.fft.fftfreq(base, 1.0 / base).astype(int)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    amplitude = np.where(radius > 1.5, np.maximum(radius, 1.0) ** -1.9, 0.0)
    spectrum[np.ix_(frequency, frequency)] = phases * amplitude
    noise = np.fft.ifft2(spectrum).real
    scaled: Array = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return scaled


def cloud_window(size: int, shape: tuple[int, ...], at: tuple[float, float]) -> npt.NDArray[np.float32]:
    """A view of `shape` into the clouds, its corner at the fractions `at` of the spare room."""
    noise = clouds(size)
    top = int(at[0] * (noise.shape[0] - shape[0]))
    left = int(at[1] * (noise.shape[1] - shape[1]))
    return noise[top : top + shape[0], left : left + shape[1]]
