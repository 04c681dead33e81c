"""What is metal on a film: pacemaker, sternal wires, monitor electrodes. None of it goes with a disease."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from medtrim.data.phantom.frame import Array, Frame
from medtrim.data.phantom.picture import Picture, Shape, add_up, ellipse, outline, smooth_curve

# Share of patients over fifty who carry it.
IMPLANTS = {"pacemaker": 0.04, "sternal wires": 0.05}
WIRE = 0.007


def layer(frame: Frame, device: str) -> Array:
    """The device's attenuation on the whole film, in [0, 1]."""
    return frame.sample(_picture(device, frame.size), np.s_[:, :])


@lru_cache(maxsize=16)
def _picture(device: str, size: int) -> Picture:
    shapes = {"pacemaker": _pacemaker, "sternal wires": _sternal_wires, "electrodes": _electrodes}[device]()
    return add_up(shapes, size)


def _wire(points: list[tuple[float, float]], value: int, width: float = WIRE) -> Shape:
    curve = smooth_curve(points)
    return outline(curve, [width] * len(curve)), value


def _pacemaker() -> list[Shape]:
    """A generator under the left clavicle, its lead through the great veins into the right ventricle."""
    x, y = 0.56, -0.44
    can = [
        (x + 0.10 * math.cos(a), y + 0.085 * math.sin(a) ** 3)
        for a in np.linspace(0, 2 * math.pi, 40, endpoint=False)
    ]
    path = [
        (x - 0.08, y - 0.05),
        (0.36, -0.60),
        (0.14, -0.60),
        (-0.10, -0.50),
        (-0.13, -0.20),
        (-0.11, 0.10),
        (0.05, 0.26),
    ]
    return [(ellipse(x, y, 0.105, 0.09), 200), (can, 40), _wire([*path, (0.24, 0.27)], 150, 0.011)]


def _sternal_wires() -> list[Shape]:
    """Six loops down the breastbone."""
    shapes = []
    for i in range(6):
        y = -0.46 + 0.105 * i
        loop = [(0.035 * math.cos(a), y + 0.022 * math.sin(a)) for a in np.linspace(0.4, 2 * math.pi, 12)]
        shapes.append(_wire(loop, 170, 0.009))
    return shapes


def _electrodes() -> list[Shape]:
    """Three snaps and the wires that leave the film at its lower edge."""
    shapes: list[Shape] = []
    spots = ((-0.55, -0.52, -0.30), (0.58, -0.50, 0.20), (0.60, 0.30, 0.42))
    for x, y, exit_x in spots:
        shapes += [(ellipse(x, y, 0.030, 0.030), 90), (ellipse(x, y, 0.014, 0.014), 110)]
        middle = ((x + exit_x) / 2 + 0.08, (y + 1.1) / 2)
        shapes.append(_wire([(x, y), (x + 0.04, y + 0.10), middle, (exit_x, 1.25)], 95))
    return shapes
