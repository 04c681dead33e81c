"""Normal anatomy: the body's thickness, the air of each lung, heart and mediastinum as the border of that air.

The film is a sum of attenuations. Soft tissue fills the body outline; lungs remove most of it along their depth, so
heart, mediastinum, diaphragm and abdomen are what the air leaves, and a lesion is air that something else replaced.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from medtrim.data.phantom.case import WALL, Case, Lesion
from medtrim.data.phantom.frame import Array, Box, Frame, curve_axis, dome, ramp, unit
from medtrim.data.phantom.world import load_world

APEX, ANGLE = -0.77, 0.55
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

    def lots(self, lesion: Lesion) -> random.Random:
        """A lesion's own random stream on this side."""
        return random.Random(2 * lesion.seed + (self.sign > 0.0))

    def height(self) -> Array:
        """0 at the lung's apex, 1 at the costophrenic angle."""
        return (self.y - np.float32(self.apex)) * np.float32(1.0 / (ANGLE - self.apex))


def diaphragm_dome(case: Case, side: str) -> float:
    """The height of a diaphragm's dome: the right one higher, lower on a deep breath, raised by atelectasis."""
    world = load_world(case.world)
    level = world.dome[0] + world.dome[1] * case.technique.inspiration
    for lesion in case.of("atelectasis"):
        if side in lesion.sides and lesion.zone in ("basal", "lower"):
            level -= 0.03 + 0.025 * lesion.grade
    return level + (world.left_dome if side == "left" else 0.0)


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
    share = load_world(case.world).heart_left
    reach = {"left": share * total, "right": (1.0 - share) * total}
    centre = diaphragm_dome(case, "left") - 0.12
    aorta = case.patient.aorta
    ventricle = np.sin(unit((y + 0.14) / (centre + 0.14)) * (np.pi / 2.0)) ** 1.25
    ventricle *= 1.0 - 0.35 * unit((y - centre) / 0.35) ** 2
    left = 0.125 + 0.075 * aorta * dome((y + 0.37) / 0.125) + 0.035 * dome((y + 0.14) / 0.10)
    left = left + (reach["left"] - 0.125) * ventricle
    atrium = dome((y - diaphragm_dome(case, "right") + 0.095) / 0.36) ** 0.6
    right = 0.115 + 0.02 * dome((y + 0.22) / 0.22) * aorta + (reach["right"] - 0.115) * atrium
    for lesion in case.of("enlarged cardiomediastinum"):
        extra = (0.075, 0.13, 0.195)[lesion.grade] + 0.025 * lesion.extent
        band = dome(np.clip((y + 0.32) / 0.46, -1.0, 1.0)) ** 0.8
        left, right = left + extra * band, right + 0.9 * extra * band
    flare = 0.10 * unit((-0.55 - y) / 0.3)
    return {"left": (left - flare).astype(np.float32), "right": (right - flare).astype(np.float32)}


def body_thickness(frame: Frame, case: Case) -> Array:
    """Soft-tissue depth over the whole film: trunk, shoulders, neck, and black air beside them."""
    y = curve_axis()
    fat = case.patient.fat
    trunk = WALL + 0.08 + 0.24 * fat
    lift = 0.04 - 0.10 * fat
    neck = 0.19 + 0.08 * fat
    # The trapezius slopes to the shoulder, the arm hides the axilla, below it the trunk is free.
    outline_y = (-1.6, -1.16 + lift, -1.06 + lift, -0.96 + lift, -0.88 + lift, -0.77, -0.40, 0.0, 0.22, 0.40)
    bulge = trunk + 0.5 * (1.35 - trunk)
    outline_x = (neck + 0.04, neck, neck + 0.13, 0.60, 0.92, 1.18, 1.35, bulge, trunk + 0.03, trunk)
    half = np.interp(y, outline_y, outline_x)
    kernel = np.hanning(29)
    half = np.convolve(half, kernel / kernel.sum(), mode="same")
    beside = np.abs(frame.x)
    edge = frame.curve(half.astype(np.float32), np.s_[:, :]) - beside
    depth: Array = np.sqrt(unit(edge * np.float32(3.2)))
    depth *= np.float32(frame.world.depth[0] + frame.world.depth[1] * fat) - np.float32(0.55) * unit(
        beside * np.float32(2.2) - np.float32(1.3)
    )
    depth -= np.float32(0.8) * ramp(np.float32(-0.80) - frame.y, 0.5)
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
    sag: Array = v * (np.float32(0.13) + np.float32(0.10) * v * v)
    above: Array = sag + np.float32(floor) - y
    soft = max(0.024, 1.2 * frame.pixel)
    depth = np.sqrt(unit(wall * np.float32(1 / frame.world.lung_edge)))
    inside = ramp(medial, soft)
    front = inside * unit(np.float32(0.56) + medial * np.float32(2.6))
    behind = np.float32(0.30) * ramp(u - np.float32(0.12), 0.05) * unit((y + 0.25) * np.float32(4.0))
    air: Array = np.multiply(depth, np.maximum(front, behind), dtype=np.float32)
    recess = unit(np.float32(1.0) + above * np.float32(5.0))
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
    tube *= unit((np.float32(-0.08) - y) * np.float32(8.0))
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
    radius = 0.26 + 0.12 * size
    for sign in (-1.0, 1.0):
        cx, cy = sign * 0.52, 0.20 + 0.16 * size
        box = frame.box(cx - radius, cx + radius, cy - radius, cy + radius)
        dx = (frame.x[box] - np.float32(cx)) * np.float32(1 / radius)
        dy = (frame.y[box] - np.float32(cy)) * np.float32(1 / radius)
        inside = unit((np.float32(1.0) - dx * dx - dy * dy) * np.float32(2.2))
        inside *= unit(np.float32(0.5) + np.float32(0.5) * dy)
        # Over the abdomen a breast hardly adds to what is already white.
        inside *= np.clip(np.float32(2.2) - np.float32(4.0) * (frame.y[box] - np.float32(0.18)), 0.3, 1.0)
        film[box] += np.float32(0.12 + 0.34 * size) * inside


def hilum(frame: Frame, lung: Hemithorax) -> None:
    """The root of the lung: arteries end on, the left a little higher than the right."""
    centre_u, centre_y = 0.19, -0.07 if lung.name == "left" else -0.03
    du = (lung.u - np.float32(centre_u)) * np.float32(1 / 0.13)
    dy = (lung.y - np.float32(centre_y)) * np.float32(1 / 0.17)
    lung.opacity += np.float32(frame.world.hilum) * dome(np.sqrt(du * du + dy * dy)) * ramp(lung.medial, 0.05)
