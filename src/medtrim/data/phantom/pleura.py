"""Pleural disease: effusion with its meniscus, pneumothorax with its pleural line, thickening."""

from __future__ import annotations

import random

import numpy as np

from medtrim.data.phantom.anatomy import ANGLE, APEX, WALL, Hemithorax, wall_distance
from medtrim.data.phantom.bank import cloud_window
from medtrim.data.phantom.case import Lesion
from medtrim.data.phantom.frame import Frame, ramp


def effusion(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fluid that hides angle and dome, its upper border a meniscus climbing towards the wall."""
    wobble = random.Random(lesion.seed)
    # Height of the fluid at the wall, in thorax units above the costophrenic angle.
    low, high = ((0.24, 0.30), (0.44, 0.54), (0.74, 0.96))[lesion.grade]
    top = ANGLE - (low + (high - low) * lesion.extent)
    sag = (0.19, 0.20, 0.16)[lesion.grade] + wobble.uniform(-0.02, 0.02)
    v = np.clip((np.float32(WALL - 0.02) - lung.u) * np.float32(1.0 / 0.44), 0.0, 1.35)
    level = np.float32(top) + np.float32(sag) * v * (np.float32(2.0) - v)
    fluid = ramp(lung.y - level, 0.055 + 0.02 * lesion.grade)
    strength = 0.97 if lesion.assertion == "present" else 0.75
    lung.air *= np.float32(1.0) - np.float32(strength) * fluid
    lung.opacity += np.float32(0.22 * strength) * fluid * (lung.wall > -0.01)
    lung.marking *= np.float32(1.0) - fluid


def pneumothorax(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Air between lung and wall: a thin pleural line, and beyond it neither vessels nor haze."""
    wobble = random.Random(lesion.seed)
    low, high = ((0.17, 0.23), (0.32, 0.42), (0.56, 0.72))[lesion.grade]
    drop = low + (high - low) * lesion.extent
    lateral = (0.05, 0.15, 0.32)[lesion.grade] + wobble.uniform(-0.015, 0.02)
    collapsed = wall_distance(lung.u, lung.y, apex=APEX + drop, wall=WALL - lateral)
    # A small one stays at the apex: the lung meets the wall again further down.
    if lesion.grade < 2:
        depth = (0.55, 1.1)[lesion.grade]
        rejoin = np.clip((lung.y - np.float32(APEX + drop)) * np.float32(1.0 / depth), 0.0, 1.0)
        collapsed += rejoin * np.float32(lateral + 0.02)
    thick = max(0.011, 0.75 * frame.pixel)
    strength = 1.0 if lesion.assertion == "present" else 0.65
    inside = ramp(collapsed, thick)
    line = np.maximum(np.float32(1.0) - np.abs(collapsed) * np.float32(1.0 / thick), 0.0)
    # Beyond the line the whole depth is air; what is left of the lung is denser the smaller it is.
    beyond = (np.float32(1.0) - inside) * np.float32(strength)
    lung.air *= np.float32(1.0) + np.float32(0.16) * beyond - inside * np.float32((0.0, 0.08, 0.26)[lesion.grade])
    lung.marking *= np.float32(1.0) - beyond
    lung.opacity += (
        line * (lung.wall > 0.5 * thick) * (lung.above > 0) * np.float32(0.46 * strength * min(1.0, lung.wall.size))
    )


def thickening(frame: Frame, lung: Hemithorax, lesion: Lesion, spare: tuple[float, float]) -> None:
    """A rind along the wall: an apical cap, a lateral or a basal band, uneven on its inner side."""
    thick = (0.045, 0.075, 0.11)[lesion.grade] + 0.015 * lesion.extent
    uneven = cloud_window(frame.size, lung.u.shape, spare)
    rind = ramp(np.float32(thick) + np.float32(0.014) * uneven - lung.wall, 0.02) * (lung.wall > -0.02)
    height = lung.height()
    if lesion.zone == "apical":
        rind *= ramp(np.float32(0.20) - height, 0.14)
    elif lesion.zone == "basal":
        rind *= ramp(height - np.float32(0.72), 0.12)
    else:
        rind *= ramp(height - np.float32(0.25), 0.12) * ramp(np.float32(0.92) - height, 0.12)
    strength = np.float32(0.95 if lesion.assertion == "present" else 0.7)
    lung.air *= np.float32(1.0) - rind * (np.float32(0.75) * strength)
    lung.opacity += rind * np.float32(0.28) * strength
