"""Bones over the chest, and rib fractures in them."""

from __future__ import annotations

import math
import random

import numpy as np

from medtrim.data.phantom.bank import EXTENT, bones, rib_point
from medtrim.data.phantom.case import Case, Lesion
from medtrim.data.phantom.frame import Array, Frame, dome, ramp

ZONE_RIBS = {"upper": (3, 4), "middle": (5, 6), "lower": (7, 8), "": (5, 6)}


def bone_layer(frame: Frame, case: Case) -> Array:
    """Attenuation of all bones, rotation moving front and back apart, fractures included."""
    patient = case.patient
    yaw = 0.03 * case.technique.yaw
    back = frame.sample(bones(patient.bones, frame.size, "posterior"), EXTENT, shift=-yaw)
    front = frame.sample(bones(patient.bones, frame.size, "anterior"), EXTENT, shift=yaw)
    back += front
    for lesion in case.of("fracture"):
        for side in lesion.sides:
            fracture(back, frame, case, lesion, side)
    back *= np.float32(1.15 * patient.bone_density)
    return back


def fracture(layer: Array, frame: Frame, case: Case, lesion: Lesion, side: str) -> None:
    """Break the lateral arc of one or more neighbouring ribs: acute ones step off, healed ones wear a callus."""
    wobble = random.Random(lesion.seed)
    first, second = ZONE_RIBS[lesion.zone]
    ribs = (first, second, second + 1) if "multiple" in lesion.patterns else (first,)
    sign = 1.0 if side == "left" else -1.0
    for rib in ribs:
        turn = wobble.uniform(0.33, 0.41)
        if "healed" in lesion.patterns:
            _callus(layer, frame, case, rib, turn, sign)
        else:
            _break(layer, frame, case, rib, turn, sign, 1.0 if lesion.assertion == "present" else 0.6)


def _place(case: Case, rib: int, turn: float, sign: float) -> tuple[float, float]:
    x, y = rib_point(case.patient.bones, rib, turn)
    return sign * x - 0.03 * case.technique.yaw, y


def _callus(layer: Array, frame: Frame, case: Case, rib: int, turn: float, sign: float) -> None:
    """A spindle of new bone around an old break."""
    x, y = _place(case, rib, turn, sign)
    box = frame.box(x - 0.08, x + 0.08, y - 0.08, y + 0.08)
    dx, dy = (
        (frame.x[box] - np.float32(x)) * np.float32(1 / 0.062),
        (frame.y[box] - np.float32(y)) * np.float32(1 / 0.05),
    )
    layer[box] += np.float32(0.62) * np.sqrt(np.maximum(1.0 - dx * dx - dy * dy, 0.0))


def _break(layer: Array, frame: Frame, case: Case, rib: int, turn: float, sign: float, strength: float) -> None:
    """Take a stretch of rib out and put its two fragments back, displaced and angled; blood lies around."""
    x, y = _place(case, rib, turn, sign)
    radius = 0.105
    box = frame.box(x - radius, x + radius, y - radius, y + radius)
    gx, gy = frame.x[box], frame.y[box]
    dx, dy = (gx - np.float32(x)) * np.float32(1 / radius), (gy - np.float32(y)) * np.float32(1 / radius)
    hole = np.clip((1.0 - dx * dx - dy * dy) * 2.5, 0.0, 1.0)
    layer[box] *= np.float32(1.0) - np.float32(strength) * hole
    # A faint pleural haematoma.
    layer[box] += np.float32(0.10 * strength) * hole
    before, after = _place(case, rib, turn - 0.07, sign), _place(case, rib, turn + 0.07, sign)
    slope = math.atan2(after[1] - before[1], after[0] - before[0])
    nx, ny = -math.sin(slope), math.cos(slope)
    for k, (start, tilt) in enumerate(((before, 0.28), (after, -0.30))):
        step = 0.026 if k == 0 else -0.026
        ex, ey = x + step * nx, y + step * ny
        _fragment(
            layer, frame, start, (ex + 0.012 * (1 if k else -1) * math.cos(slope + tilt), ey), 0.62 * strength
        )


def _fragment(layer: Array, frame: Frame, a: tuple[float, float], b: tuple[float, float], value: float) -> None:
    """A straight piece of rib from `a` to its broken end `b`."""
    width = max(0.024, 0.7 * frame.pixel)
    box = frame.box(
        min(a[0], b[0]) - width, max(a[0], b[0]) + width, min(a[1], b[1]) - width, max(a[1], b[1]) + width
    )
    length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1e-6
    c, s = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    dx, dy = frame.x[box] - np.float32(a[0]), frame.y[box] - np.float32(a[1])
    along = dx * np.float32(c) + dy * np.float32(s)
    across = (dy * np.float32(c) - dx * np.float32(s)) * np.float32(1.0 / width)
    piece = np.sqrt(dome(across)) * ramp(along + np.float32(0.005), 0.02) * ramp(np.float32(length) - along, 0.01)
    layer[box] = np.maximum(layer[box], np.float32(value) * piece)
