"""Normal anatomy: the body's thickness, the air of each lung, heart and mediastinum as the border of that air.

The film is a sum of attenuations. Soft tissue fills the body outline; lungs remove most of it along their depth, so
heart, mediastinum, diaphragm and abdomen are what the air leaves, and a lesion is air that something else replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtrim.data.phantom.case import Case
from medtrim.data.phantom.frame import Array, Box, Frame, curve_axis, dome, ramp

WALL = 0.78
APEX, ANGLE = -0.77, 0.55
AIR = 1.72
APEX_X = 0.31


@dataclass(slots=True)
class Hemithorax:
    """One side of the chest on its own part of the film; lesions change `air`, `opacity`, `marking`.

    `u` is the distance from the midline towards this side; `wall`, `medial` and `above` are distances from the
    chest wall, the mediastinal border and the diaphragm, positive within the lung. `marking` scales the vessels.
    """

    name: str
    sign: float
    box: Box
    u: Array
    y: Array
    wall: Array
    medial: Array
    above: Array
    air: Array
    opacity: Array
    marking: Array
    apex: float
    dome: float

    def height(self) -> Array:
        """0 at the lung's apex, 1 at the costophrenic angle."""
        return (self.y - np.float32(self.apex)) * np.float32(1.0 / (ANGLE - self.apex))


def diaphragm_dome(case: Case, side: str) -> float:
    """The height of a diaphragm's dome: the right one higher, lower on a deep breath, raised by atelectasis."""
    level = 0.26 + 0.13 * case.technique.inspiration
    for lesion in case.of("atelectasis"):
        if side in lesion.sides and lesion.zone in ("basal", "lower"):
            level -= 0.03 + 0.025 * lesion.grade
    return level + (0.045 if side == "left" else 0.0)


def mediastinal_shift(case: Case) -> float:
    """How far the mediastinum is pushed to the image's right, by rotation, large effusions and pneumothoraces."""
    shift = 0.05 * case.technique.yaw
    for disease, push in (("pleural effusion", 0.055), ("pneumothorax", 0.05)):
        for lesion in case.of(disease):
            if lesion.grade == 2 and len(lesion.sides) == 1:
                shift += push if lesion.sides == ("right",) else -push
    return shift


def mediastinal_borders(case: Case) -> dict[str, Array]:
    """Distance of the mediastinal border from the midline as tabulated curves of y, one a side."""
    y = curve_axis()
    total = case.cardiothoracic_ratio * 2.0 * WALL
    reach = {"left": 0.655 * total, "right": 0.345 * total}
    centre = diaphragm_dome(case, "left") - 0.12
    aorta = case.patient.aorta
    ventricle = np.sin(np.clip((y + 0.14) / (centre + 0.14), 0.0, 1.0) * (np.pi / 2.0)) ** 1.25
    ventricle *= 1.0 - 0.35 * np.clip((y - centre) / 0.35, 0.0, 1.0) ** 2
    left = 0.125 + 0.085 * aorta * dome((y + 0.36) / 0.105) ** 0.7 + 0.035 * dome((y + 0.14) / 0.10)
    left = left + (reach["left"] - 0.125) * ventricle
    atrium = dome((y - centre + 0.02) / 0.36) ** 0.6
    right = 0.115 + 0.02 * dome((y + 0.22) / 0.22) * aorta + (reach["right"] - 0.115) * atrium
    for lesion in case.of("enlarged cardiomediastinum"):
        extra = (0.075, 0.125, 0.185)[lesion.grade] + 0.025 * lesion.extent
        band = dome(np.clip((y + 0.30) / 0.42, -1.0, 1.0)) ** 0.55
        left, right = left + extra * band, right + 0.9 * extra * band
    flare = 0.10 * np.clip((-0.55 - y) / 0.3, 0.0, 1.0)
    return {"left": (left - flare).astype(np.float32), "right": (right - flare).astype(np.float32)}


def body_thickness(frame: Frame, case: Case) -> Array:
    """Soft-tissue depth over the whole film: trunk, shoulders, neck, and black air beside them."""
    y = curve_axis()
    fat = case.patient.fat
    trunk = WALL + 0.07 + 0.22 * fat + 0.02 * np.sin(6.0 * y)
    slope = np.clip((y + 1.02 - 0.10 * fat) / 0.36, 0.0, 1.0)
    neck = 0.21 + 0.09 * fat
    shoulders = neck + (1.45 - neck) * slope**1.6 + 0.06 * np.clip((-0.95 - y) / 0.3, 0.0, 1.0)
    upper = 1.0 - np.clip((y + 0.30) / 0.35, 0.0, 1.0) ** 2
    half = np.where(y < -0.3, shoulders, trunk + (1.45 - trunk) * upper)
    edge = frame.curve(half.astype(np.float32), np.s_[:, :]) - np.abs(frame.x)
    depth: Array = np.sqrt(np.clip(edge * np.float32(4.0), 0.0, 1.0))
    depth *= np.float32(2.45 + 0.55 * fat)
    depth -= np.float32(0.9) * ramp(-0.80 - frame.y, 0.5)
    np.maximum(depth, 0.0, out=depth)
    return depth


def hemithorax(frame: Frame, case: Case, side: str, border: Array, shift: float) -> Hemithorax:
    """The normal lung of one side."""
    sign = 1.0 if side == "left" else -1.0
    span = sorted((sign * -0.08, sign * 0.86))
    box = frame.box(span[0], span[1], APEX - 0.04, 0.86)
    x, y = frame.x[box], frame.y[box]
    u = x * np.float32(sign)
    floor = diaphragm_dome(case, side)
    wall = wall_distance(u, y, apex=APEX, wall=WALL)
    medial = u - frame.curve(border, box) - np.float32(sign * shift)
    v = (u - np.float32(0.36)) * np.float32(1.0 / 0.42)
    v *= v
    above: Array = np.float32(floor) + v * (np.float32(0.13) + np.float32(0.10) * v * v) - y
    soft = max(0.015, 1.2 * frame.pixel)
    depth = np.sqrt(np.clip(wall * np.float32(1 / 0.26), 0.0, 1.0))
    inside = ramp(medial, soft)
    front = inside * np.clip(np.float32(0.66) + medial * np.float32(2.3), 0.0, 1.0)
    behind = np.float32(0.30) * ramp(u - np.float32(0.12), 0.05) * np.clip((y + 0.25) * np.float32(4.0), 0.0, 1.0)
    air: Array = np.multiply(depth, np.maximum(front, behind), dtype=np.float32)
    recess = np.clip(np.float32(1.0) + above * np.float32(5.0), 0.0, 1.0)
    lung = ramp(above, soft)
    air *= lung + (np.float32(1.0) - lung) * recess * recess * np.float32(0.26)
    return Hemithorax(
        side, sign, box, u, y, wall, medial, above, air, np.zeros_like(air), np.ones_like(air), APEX, floor
    )


def wall_distance(u: Array, y: Array, *, apex: float, wall: float) -> Array:
    """Distance inside a lung's outer border: a quarter ellipse from `apex` to the wall, upright below."""
    across = np.float32(1.0 / (wall - APEX_X))
    inward = np.float32(1.0 / 0.245)
    along = np.float32(1.0 / (ANGLE - apex))
    a = u - np.float32(APEX_X)
    a = np.maximum(a * across, a * -inward * ramp(-y + np.float32(apex + 0.38), 0.5))
    b = np.minimum((y - np.float32(ANGLE)) * along, 0.0)
    a2, b2 = a * a, b * b
    slope = np.sqrt(a2 * (across * across) + b2 * (along * along)) + np.float32(0.15)
    distance: Array = (np.float32(1.0) - a2 - b2) / (np.float32(2.0) * slope)
    return distance


def add_midline(film: Array, frame: Frame, shift: float) -> None:
    """Trachea and main bronchi: dark air in the mediastinum."""
    box = frame.box(-0.32, 0.32, -1.25, -0.02)
    x, y = frame.x[box] - np.float32(0.6 * shift - 0.012), frame.y[box]
    below = np.maximum(y + np.float32(0.26), 0.0)
    centre = np.abs(x) - below * np.float32(0.95)
    width = np.float32(0.052) - below * np.float32(0.09)
    tube = np.sqrt(dome(centre / np.maximum(width, 0.012)))
    tube *= np.clip((np.float32(-0.08) - y) * np.float32(8.0), 0.0, 1.0)
    film[box] -= np.float32(0.50) * tube


def add_abdomen(film: Array, frame: Frame, case: Case) -> None:
    """The gastric bubble under the left dome, and gas in the colon."""
    gas = case.technique.gas
    level = diaphragm_dome(case, "left") + 0.075
    spots = [(0.36 + 0.08 * gas, level + 0.07, 0.08 + 0.07 * gas, 0.04 + 0.05 * gas, 0.35 + 0.5 * gas)]
    if gas > 0.6:
        spots += [(0.56, level + 0.24, 0.09, 0.06, 0.4), (0.40, level + 0.30, 0.08, 0.05, 0.35)]
    for cx, cy, rx, ry, strength in spots:
        box = frame.box(cx - rx, cx + rx, cy - ry, cy + ry)
        dx = (frame.x[box] - np.float32(cx)) * np.float32(1 / rx)
        dy = (frame.y[box] - np.float32(cy)) * np.float32(1 / ry)
        bubble = np.maximum(1.0 - dx * dx - dy * dy, 0.0)
        film[box] -= np.float32(strength) * np.sqrt(bubble)


def add_breasts(film: Array, frame: Frame, case: Case) -> None:
    """Breast shadows: densest towards their lower edge, which is sharp."""
    size = case.patient.breast
    if size <= 0.05:
        return
    radius = 0.22 + 0.12 * size
    for sign in (-1.0, 1.0):
        cx, cy = sign * 0.47, 0.16 + 0.14 * size
        box = frame.box(cx - radius, cx + radius, cy - radius, cy + radius)
        dx = (frame.x[box] - np.float32(cx)) * np.float32(1 / radius)
        dy = (frame.y[box] - np.float32(cy)) * np.float32(1 / radius)
        inside = np.clip((1.0 - dx * dx - dy * dy) * 3.0, 0.0, 1.0)
        film[box] += np.float32(0.10 + 0.30 * size) * inside * np.clip(0.45 + 0.55 * dy, 0.0, 1.0)
