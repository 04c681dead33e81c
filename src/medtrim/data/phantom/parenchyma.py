"""Airspace and linear disease of the lung: consolidation, pneumonia, opacities, atelectasis, edema."""

from __future__ import annotations

import math
import random

import numpy as np

from medtrim.data.phantom.anatomy import ANGLE, APEX, Hemithorax
from medtrim.data.phantom.case import Lesion
from medtrim.data.phantom.frame import Array, Box, Frame, dome, ramp, unit
from medtrim.data.phantom.texture import window
from medtrim.data.phantom.vessels import VESSEL_VARIANTS, vessels

# Middle of a zone as a fraction of the way from apex to costophrenic angle.
ZONE_HEIGHT = {
    "apical": 0.14,
    "upper": 0.27,
    "middle": 0.52,
    "lingular": 0.60,
    "hilar": 0.50,
    "lower": 0.70,
    "basal": 0.84,
    "": 0.52,
}


def strength_of(lesion: Lesion, present: float, uncertain: float) -> np.float32:
    """What a report only suspects is drawn fainter."""
    return np.float32(present if lesion.assertion == "present" else uncertain)


def fill(lung: Hemithorax, amount: Array, density: np.float32) -> None:
    """Replace air by fluid or cells: `amount` in [0, 1] of the local air goes, vessels drown in it."""
    lung.air *= np.float32(1.0) - density * amount
    lung.marking *= np.float32(1.0) - np.float32(0.8) * density * amount


def zone_y(lung: Hemithorax, lesion: Lesion) -> float:
    """The y of the middle of a lesion's zone; a basal one rides on the diaphragm."""
    if lesion.zone == "basal":
        return lung.dome - 0.11
    return APEX + ZONE_HEIGHT[lesion.zone] * (ANGLE - APEX)


def patch(frame: Frame, lung: Hemithorax, u: float, y: float, ru: float, ry: float) -> tuple[Box, Array]:
    """Where in the lung's arrays an ellipse lies with some margin, and there 1 - r²."""
    x0, x1 = sorted((lung.sign * (u - 1.35 * ru), lung.sign * (u + 1.35 * ru)))
    rows, columns = frame.box(x0, x1, y - 1.35 * ry, y + 1.35 * ry)
    base_r, base_c = lung.box[0].start, lung.box[1].start
    here = (
        slice(max(rows.start - base_r, 0), max(rows.stop - base_r, 0)),
        slice(max(columns.start - base_c, 0), max(columns.stop - base_c, 0)),
    )
    du = (lung.u[here] - np.float32(u)) * np.float32(1.0 / ru)
    dy = (lung.y[here] - np.float32(y)) * np.float32(1.0 / ry)
    return here, np.float32(1.0) - du * du - dy * dy


def _texture(kind: str, frame: Frame, lung: Hemithorax, lots: random.Random) -> Array:
    return window(kind, frame.world, frame.size, lung.u.shape, (lots.random(), lots.random()))


def lobe(lung: Hemithorax, zone: str, ragged: Array) -> Array:
    """Soft mask of a lobe as it projects on a frontal film."""
    t = lung.height()
    if zone == "upper":
        # The minor fissure is a sharp floor on the right; the left upper lobe fades.
        if lung.name == "right":
            return ramp(np.float32(0.47) + np.float32(0.05) * lung.u - t, 0.02)
        return ramp(np.float32(0.48) + np.float32(0.02) * ragged - t, 0.12)
    if zone in ("middle", "lingular"):
        # Against the heart, whose border it hides: a triangle under the minor fissure.
        top = np.float32(0.50 if zone == "middle" else 0.56) + np.float32(0.02) * ragged
        reach = np.float32(0.70) - (t - np.float32(0.5)) * np.float32(0.75) - lung.u
        return (
            ramp(t - top, 0.05 if zone == "middle" else 0.12) * ramp(reach, 0.16) * ramp(np.float32(0.90) - t, 0.10)
        )
    # Lower lobe: reaches the diaphragm, spares the heart's border.
    top = np.float32(0.62) - np.float32(0.10) * dome((lung.u - np.float32(0.42)) * np.float32(2.5))
    spared: Array = unit(np.float32(0.40) + lung.medial * np.float32(3.5))
    return ramp(t - top - np.float32(0.015) * ragged, 0.12) * spared


def consolidation(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """A lobe, or a segment of it, without air: dense, sharp at fissures, bronchi dark within."""
    lots = lung.lots(lesion)
    ragged = _texture("fluff", frame, lung, lots)
    amount = lobe(lung, lesion.zone, ragged)
    if "focal" in lesion.patterns:
        u, y = lots.uniform(0.42, 0.50), zone_y(lung, lesion)
        du, dy = (lung.u - np.float32(u)) * np.float32(1 / 0.24), (lung.y - np.float32(y)) * np.float32(1 / 0.20)
        amount = ramp(np.float32(0.55) - du * du - dy * dy + np.float32(0.22) * ragged, 0.9)
    amount *= unit(np.float32(0.94) + np.float32(0.05) * ragged)
    tree = vessels(frame.world, lots.randrange(VESSEL_VARIANTS), frame.size)
    bronchi = frame.sample(tree, lung.box, mirror=lung.sign < 0)
    amount *= np.float32(1.0) - np.float32(0.42) * bronchi
    fill(lung, amount, strength_of(lesion, 0.90, 0.62))


def pneumonia(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fluffy airspace shadows in one zone: one confluent, or several patches."""
    lots = lung.lots(lesion)
    fluff = _texture("fluff", frame, lung, lots)
    patchy = "patchy" in lesion.patterns
    centre = zone_y(lung, lesion)
    amount = np.zeros_like(lung.air)
    for i in range(6 if patchy else 4):
        spread, radius = (0.17, lots.uniform(0.085, 0.125)) if patchy else (0.08, lots.uniform(0.16, 0.20))
        angle = 2.4 * i + lots.uniform(-0.4, 0.4)
        u = 0.46 + spread * math.cos(angle) * (0.5 + 0.5 * lots.random())
        y = centre + 0.8 * spread * math.sin(angle) * (0.4 + 0.6 * lots.random())
        here, ball = patch(frame, lung, min(max(u, 0.25), 0.64), y, radius * 1.15, radius)
        shadow = unit(ball + np.float32(0.24) * fluff[here])
        amount[here] = np.maximum(amount[here], shadow)
    fill(lung, amount, strength_of(lesion, 0.80, 0.55))


def opacity(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fainter shadows: hazy, patchy, streaky or interstitial."""
    lots = lung.lots(lesion)
    strength = float(strength_of(lesion, 1.0, 0.75))
    if "interstitial" in lesion.patterns:
        _reticulation(frame, lung, lesion.zone, lots, strength)
        return
    if "streaky" in lesion.patterns:
        _strands(frame, lung, lesion, lots, strength)
        return
    fluff = _texture("fluff", frame, lung, lots)
    centre = zone_y(lung, lesion)
    blobs = [(lots.uniform(0.40, 0.52), centre, lots.uniform(0.24, 0.29))]
    if "patchy" in lesion.patterns:
        blobs = [
            (
                0.30 + 0.08 * i + lots.uniform(-0.03, 0.03),
                centre + lots.uniform(-0.13, 0.13),
                lots.uniform(0.085, 0.115),
            )
            for i in range(5)
        ]
    amount = np.zeros_like(lung.air)
    for u, y, radius in blobs:
        here, ball = patch(frame, lung, u, y, radius, radius)
        shadow = unit(ball + np.float32(0.14) * fluff[here])
        amount[here] = np.maximum(amount[here], shadow)
    lung.air *= np.float32(1.0) - np.float32((0.50 if "patchy" in lesion.patterns else 0.60) * strength) * amount


def _reticulation(frame: Frame, lung: Hemithorax, zone: str, lots: random.Random, strength: float) -> None:
    """A net of fine lines over the whole lung or one zone."""
    where = ramp(lung.wall, 0.06)
    if zone:
        where = where * dome(np.clip((lung.height() - np.float32(ZONE_HEIGHT[zone])) * np.float32(3.4), -1.0, 1.0))
    net = _texture("net", frame, lung, lots) * where
    lung.opacity += np.float32(0.66 * strength) * net * np.sqrt(np.maximum(lung.air, 0.0))
    lung.air *= np.float32(1.0) - np.float32(0.10 * strength) * where


def _strands(frame: Frame, lung: Hemithorax, lesion: Lesion, lots: random.Random, strength: float) -> None:
    """Lines that fan out from the hilum."""
    centre = zone_y(lung, lesion)
    for _ in range(8):
        u, y = 0.34 + lots.uniform(0.0, 0.2), centre + lots.uniform(-0.14, 0.14)
        slope = math.atan2(y + 0.02, u - 0.1) + lots.gauss(0.0, 0.12)
        band(
            frame,
            lung,
            (u, y),
            slope,
            half=lots.uniform(0.11, 0.18),
            width=lots.uniform(0.011, 0.018),
            strength=0.75 * strength,
        )


def band(
    frame: Frame,
    lung: Hemithorax,
    at: tuple[float, float],
    slope: float,
    *,
    half: float,
    width: float,
    strength: float,
) -> None:
    """A straight band of attenuation centred at (u, y), tapering at its ends; never thinner than a pixel shows."""
    u, y = at
    drawn = max(width, 0.6 * frame.pixel)
    here, _ = patch(frame, lung, u, y, half, max(half * abs(math.sin(slope)), 3.0 * drawn))
    du, dy = lung.u[here] - np.float32(u), lung.y[here] - np.float32(y)
    c, s = np.float32(math.cos(slope)), np.float32(math.sin(slope))
    along, across = (du * c + dy * s) * np.float32(1.0 / half), (dy * c - du * s) * np.float32(1.0 / drawn)
    line = dome(across) * dome(along)
    lung.opacity[here] += np.float32(strength * (width / drawn) ** 0.5) * line * ramp(lung.wall[here], 0.03)


def atelectasis(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Plates of collapsed lung, near horizontal; a raised diaphragm and haze go with those at the base."""
    lots = lung.lots(lesion)
    strength = float(strength_of(lesion, 1.0, 0.75))
    thin = "streaky" in lesion.patterns
    count = 3 if thin else (1, 2, 3)[lesion.grade]
    low = lesion.zone in ("basal", "lower", "")
    for i in range(count):
        spacing = 0.065 * i
        y = lung.dome - 0.045 - spacing if low else zone_y(lung, lesion) - 0.07 + spacing
        width = 0.013 if thin else 0.022 + 0.006 * lesion.grade
        at, slope = (lots.uniform(0.42, 0.50), y), lots.uniform(-0.12, 0.28)
        band(frame, lung, at, slope, half=lots.uniform(0.20, 0.27), width=width, strength=0.9 * strength)
    if low and not thin:
        haze = ramp(np.float32(0.10 + 0.03 * lesion.grade) - lung.above, 0.14)
        lung.air *= np.float32(1.0) - np.float32((0.12 + 0.12 * lesion.grade) * strength) * haze


def edema(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Full vessels and septal lines when mild, then haze, then dense shadows, perihilar or basal."""
    lots = lung.lots(lesion)
    strength = float(strength_of(lesion, 1.0, 0.75))
    fluff = _texture("fluff", frame, lung, lots)
    lung.marking *= np.float32((1.5, 1.6, 1.4)[lesion.grade])
    if lesion.zone == "hilar":
        du = (lung.u - np.float32(0.22)) * np.float32(1 / 0.38)
        dy = (lung.y + np.float32(0.02)) * np.float32(1 / 0.44)
        wings = unit((np.float32(1.0) - du * du - dy * dy) * np.float32(1.15) + np.float32(0.13) * fluff)
        lung.air *= np.float32(1.0) - np.float32((0.26, 0.50, 0.76)[lesion.grade] * strength) * wings
    else:
        haze = unit(lung.height() * np.float32(1.2) - np.float32(0.1))
        haze *= np.clip(np.float32(0.8) + np.float32(0.16) * fluff, 0.0, 1.3)
        lung.air *= np.float32(1.0) - np.float32((0.20, 0.38, 0.60)[lesion.grade] * strength) * haze
    if "interstitial" in lesion.patterns:
        _reticulation(frame, lung, "", lots, (0.75, 1.0, 1.0)[lesion.grade] * strength)
    # Kerley's lines: short, level, at the wall.
    for i in range((4, 5, 3)[lesion.grade]):
        at = (0.70, lung.dome + 0.12 - 0.055 * i)
        band(frame, lung, at, lots.uniform(-0.1, 0.1), half=0.065, width=0.008, strength=0.5 * strength)
