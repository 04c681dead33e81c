"""Lung lesions: a nodule, a mass, many nodules."""

from __future__ import annotations

import numpy as np

from medtrim.data.phantom.anatomy import ANGLE, APEX, Hemithorax
from medtrim.data.phantom.case import Lesion, lesion_radius
from medtrim.data.phantom.frame import Frame, ramp, unit
from medtrim.data.phantom.parenchyma import patch, strength_of, zone_y
from medtrim.data.phantom.texture import window


def nodules(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Round shadows of soft tissue, a mass with an uneven border."""
    lots = lung.lots(lesion)
    radius = lesion_radius(lesion)
    several = "multiple" in lesion.patterns
    spots = [
        (
            0.25 if lesion.zone == "hilar" else lots.uniform(0.36, 0.56),
            zone_y(lung, lesion) + lots.uniform(-0.05, 0.05),
        )
    ]
    if several:
        turn = lots.random()
        heights = [0.20 + 0.11 * i + lots.uniform(-0.04, 0.04) for i in range(6)]
        spots = [
            (0.28 + 0.34 * ((0.618 * i + turn) % 1.0), APEX + t * (ANGLE - APEX)) for i, t in enumerate(heights)
        ]
    for u, y in spots:
        r = radius * (lots.uniform(0.8, 1.15) if several else 1.0)
        here, ball = patch(frame, lung, u, y, r, r)
        uneven = window("fluff", frame.world, frame.size, ball.shape, (lots.random(), lots.random()))
        # A ball's depth, its rim a little blurred; several pixels wide at least, so that it never vanishes.
        core = unit((ball + np.float32(0.02 + 0.05 * lesion.grade) * uneven) * np.float32(1.6))
        core *= np.float32(0.62) + np.float32(0.38) * np.maximum(ball, 0.0)
        strength = strength_of(lesion, 1.0, 0.7) * np.float32((0.85, 0.95, 1.05)[lesion.grade])
        lung.opacity[here] += strength * core * ramp(lung.wall[here], 0.03)
