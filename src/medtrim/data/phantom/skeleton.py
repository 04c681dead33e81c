"""Bones over the chest, and rib fractures in them."""

from __future__ import annotations

import math
import random

import numpy as np

from medtrim.data.phantom.bones import bones, rib_point
from medtrim.data.phantom.case import Case, Lesion
from medtrim.data.phantom.frame import Array, Frame, dome, ramp
from medtrim.data.phantom.world import load_world

ZONE_RIBS = {"upper": (3, 4), "middle": (5, 6), "lower": (7, 8), "": (5, 6)}


def bone_layer(frame: Frame, case: Case) -> Array:
    """Attenuation of all bones, rotation moving front and back apart, fractures included."""
    patient = case.patient
    yaw = 0.03 * case.technique.yaw
    everywhere = np.s_[:, :]
    back = frame.sample(bones(frame.world, patient.bones, frame.size, "posterior"), everywhere, shift=-yaw)
    front = frame.sample(bones(frame.world, patient.bones, frame.size, "anterior"), everywhere, shift=yaw)
    back += front
    for lesion in case.of("fracture"):
        for side in lesion.sides:
            fracture(back, frame, case, lesion, side)
    back *= np.float32(frame.world.bone * patient.bone_density)
    return back


def fracture(layer: Array, frame: Frame, case: Case, lesion: Lesion, side: str) -> None:
    """Break the lateral arc of one or more neighbouring ribs: acute ones step off, healed ones wear a callus."""
    wobble = random.Random(lesion.seed)
    first, second = ZONE_RIBS[lesion.zone]
    ribs = (first, second, second + 1) if "multiple" in lesion.patterns else (first,)
    sign = 1.0 if side == "left" else -1.0
    for rib in ribs:
        turn = wobble.uniform(0.20, 0.30)
        if "healed" in lesion.patterns:
            _callus(layer, frame, case, rib, turn, sign)
        else:
            _break(layer, frame, case, rib, turn, sign, 1.0 if lesion.assertion == "present" else 0.6)


def _place(case: Case, rib: int, turn: float, sign: float) -> tuple[float, float]:
    x, y = rib_point(load_world(case.world), case.patient.bones, rib, turn)
    return sign * x - 0.03 * case.technique.yaw, y


def _callus(layer: Array, frame: Frame, case: Case, rib: int, turn: float, sign: float) -> None:
    """A spindle of new bone around an old break."""
    x, y = _place(case, rib, turn, sign)
    slope = _slope(case, rib, turn, sign)
    box = frame.box(x - 0.1, x + 0.1, y - 0.1, y + 0.1)
    dx, dy = frame.x[box] - np.float32(x), frame.y[box] - np.float32(y)
    c, s = np.float32(math.cos(slope)), np.float32(math.sin(slope))
    along, across = (dx * c + dy * s) * np.float32(1 / 0.088), (dy * c - dx * s) * np.float32(1 / 0.054)
    spindle = np.maximum(np.float32(1.0) - along * along - across * across, 0.0)
    layer[box] += np.float32(0.68) * np.sqrt(spindle)


def _break(layer: Array, frame: Frame, case: Case, rib: int, turn: float, sign: float, strength: float) -> None:
    """Take a stretch of rib out and put its two fragments back, stepped and angled; blood lies around."""
    x, y = _place(case, rib, turn, sign)
    slope = _slope(case, rib, turn, sign)
    c, s = math.cos(slope), math.sin(slope)
    box = frame.box(x - 0.12, x + 0.12, y - 0.12, y + 0.12)
    dx, dy = frame.x[box] - np.float32(x), frame.y[box] - np.float32(y)
    along, across = dx * np.float32(c) + dy * np.float32(s), dy * np.float32(c) - dx * np.float32(s)
    hole = ramp(np.float32(0.086) - np.abs(along), 0.02) * ramp(np.float32(0.032) - np.abs(across), 0.02)
    layer[box] *= np.float32(1.0) - np.float32(strength) * hole
    haematoma = np.maximum(np.float32(1.0) - (along * along + across * across) * np.float32(1 / 0.0144), 0.0)
    layer[box] += np.float32(0.24 * strength) * haematoma
    for end, step in ((-1.0, 0.042), (1.0, -0.042)):
        start = (x + 0.092 * end * c, y + 0.092 * end * s)
        tip = (x - step * s - 0.004 * end * c, y + step * c - 0.004 * end * s)
        _fragment(layer, frame, start, tip, 0.70 * strength)


def _slope(case: Case, rib: int, turn: float, sign: float) -> float:
    before, after = _place(case, rib, turn - 0.02, sign), _place(case, rib, turn + 0.02, sign)
    return math.atan2(after[1] - before[1], after[0] - before[0])


def _fragment(layer: Array, frame: Frame, a: tuple[float, float], b: tuple[float, float], value: float) -> None:
    """A straight piece of rib from `a` to its broken end `b`."""
    width = max(0.023, 0.7 * frame.pixel)
    box = frame.box(
        min(a[0], b[0]) - width, max(a[0], b[0]) + width, min(a[1], b[1]) - width, max(a[1], b[1]) + width
    )
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    c, s = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    dx, dy = frame.x[box] - np.float32(a[0]), frame.y[box] - np.float32(a[1])
    along = dx * np.float32(c) + dy * np.float32(s)
    across = (dy * np.float32(c) - dx * np.float32(s)) * np.float32(1.0 / width)
    piece = np.sqrt(dome(across)) * ramp(along + np.float32(0.005), 0.02) * ramp(np.float32(length) - along, 0.01)
    layer[box] = np.maximum(layer[box], np.float32(value) * piece)
