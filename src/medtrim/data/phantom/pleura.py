"""Pleural disease: effusion with its meniscus, pneumothorax with its pleural line, thickening."""

from __future__ import annotations

import numpy as np

from medtrim.data.phantom.anatomy import ANGLE, APEX, Hemithorax, wall_distance
from medtrim.data.phantom.case import WALL, Lesion
from medtrim.data.phantom.frame import Array, Frame, ramp, unit
from medtrim.data.phantom.texture import window


def effusion(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fluid that hides angle and dome, its upper border a meniscus climbing towards the wall."""
    wobble = lung.lots(lesion)
    # Height of the fluid at the wall, in thorax units above the costophrenic angle.
    low, high = ((0.24, 0.30), (0.46, 0.56), (0.78, 0.98))[lesion.grade]
    top = ANGLE - (low + (high - low) * lesion.extent)
    sag = (0.19, 0.21, 0.17)[lesion.grade] + wobble.uniform(-0.02, 0.02)
    v = unit((np.float32(WALL - 0.01) - lung.u) * np.float32(1.0 / 0.46))
    level = np.float32(top) + np.float32(sag) * v * (np.float32(2.0) - v)
    fluid = ramp(lung.y - level, 0.06 + 0.025 * lesion.grade)
    strength = np.float32(0.97 if lesion.assertion == "present" else 0.75)
    lung.air *= np.float32(1.0) - strength * fluid
    # Below the dome the fluid's own density dissolves in the abdomen's.
    chest = ramp(lung.wall, 0.05) * unit(np.float32(1.0) + lung.above * np.float32(3.0))
    lung.opacity += np.float32(0.24) * strength * fluid * chest
    lung.marking *= np.float32(1.0) - fluid


def pneumothorax(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Air between lung and wall: a thin pleural line, and beyond it neither vessels nor haze."""
    wobble = lung.lots(lesion)
    low, high = ((0.19, 0.25), (0.34, 0.44), (0.52, 0.62))[lesion.grade]
    drop = low + (high - low) * lesion.extent
    lateral = (0.06, 0.16, 0.30)[lesion.grade] + wobble.uniform(-0.015, 0.02)
    if lesion.grade == 2:
        collapsed = _stump(lung, drop)
    else:
        collapsed = wall_distance(lung.u, lung.y, apex=APEX + drop, wall=WALL - lateral)
        # The lung meets the wall again further down.
        depth = (0.60, 1.2)[lesion.grade]
        rejoin = unit((lung.y - np.float32(APEX + drop)) * np.float32(1.0 / depth))
        collapsed += rejoin * np.float32(lateral + 0.02)
    thick = max(0.012, 0.8 * frame.pixel)
    strength = np.float32(1.0 if lesion.assertion == "present" else 0.65)
    inside = ramp(collapsed, thick)
    line = np.maximum(np.float32(1.0) - np.abs(collapsed) * np.float32(1.0 / thick), 0.0)
    line *= (
        ramp(lung.wall - np.float32(thick), 0.01)
        * ramp(lung.above, 0.02)
        * ramp(lung.medial - np.float32(0.03), 0.04)
    )
    # Beyond the line the whole depth is air; what is left of the lung is denser the smaller it is.
    beyond = (np.float32(1.0) - inside) * strength
    lung.air *= np.float32(1.0) + np.float32(0.24) * beyond - inside * np.float32((0.0, 0.08, 0.34)[lesion.grade])
    lung.marking *= np.float32(1.0) - beyond
    lung.opacity += line * (np.float32(0.48) * strength)


def _stump(lung: Hemithorax, drop: float) -> Array:
    """Distance inside a lung that has collapsed around its hilum."""
    across, along = 0.37 - 0.4 * (drop - 0.52), 0.62 - 0.6 * (drop - 0.52)
    du = (lung.u - np.float32(0.09) - np.float32(0.10) * lung.y) * np.float32(1.0 / across)
    dy = (lung.y - np.float32(0.10)) * np.float32(1.0 / along)
    r2 = du * du + dy * dy
    distance: Array = (np.float32(1.0) - r2) * np.float32(0.5 * across) / np.sqrt(r2 + np.float32(0.05))
    return distance


def thickening(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """A rind along the wall: an apical cap, a lateral or a basal band, uneven on its inner side."""
    wobble = lung.lots(lesion)
    thick = (0.048, 0.080, 0.12)[lesion.grade] + 0.015 * lesion.extent
    uneven = window("fluff", frame.world, frame.size, lung.u.shape, (wobble.random(), wobble.random()))
    height = lung.height()
    if lesion.zone == "apical":
        thick *= 1.25
        reach = ramp(np.float32(0.24) - height, 0.26)
    elif lesion.zone == "basal":
        reach = ramp(height - np.float32(0.72), 0.20) * ramp(lung.above + np.float32(0.06), 0.08)
    else:
        reach = ramp(height - np.float32(0.28), 0.24) * ramp(np.float32(0.90) - height, 0.20)
    rind = ramp(np.float32(thick) * reach + np.float32(0.010) * uneven - lung.wall, 0.02) * reach
    rind *= ramp(lung.wall + np.float32(0.01), 0.02)
    strength = np.float32(0.95 if lesion.assertion == "present" else 0.7)
    lung.air *= np.float32(1.0) - rind * (np.float32(0.75) * strength)
    lung.opacity += rind * np.float32(0.28) * strength
