"""Disease of the lung itself: consolidation, pneumonia, opacities, atelectasis, nodules and masses, edema."""

from __future__ import annotations

import math
import random

import numpy as np

from medtrim.data.phantom.anatomy import ANGLE, APEX, Hemithorax
from medtrim.data.phantom.bank import EXTENT, VESSEL_VARIANTS, cloud_window, vessels
from medtrim.data.phantom.case import Lesion
from medtrim.data.phantom.frame import Array, Frame, dome, ramp

# Middle of a zone: lateral distance and height as a fraction from apex to costophrenic angle.
ZONE_HEIGHT = {
    "apical": 0.14,
    "upper": 0.27,
    "middle": 0.52,
    "lingular": 0.60,
    "hilar": 0.50,
    "lower": 0.74,
    "basal": 0.84,
    "": 0.52,
}


def fill(lung: Hemithorax, amount: Array, *, density: float) -> None:
    """Replace air by fluid or cells: `amount` in [0, 1] of the local air goes, vessels drown in it."""
    lung.air *= np.float32(1.0) - np.float32(density) * amount
    lung.marking *= np.float32(1.0) - np.float32(0.8 * density) * amount


def height_at(lung: Hemithorax, fraction: float) -> float:
    """The y that lies at `fraction` of the way from apex to costophrenic angle."""
    return APEX + fraction * (ANGLE - APEX)


def patch(
    frame: Frame, lung: Hemithorax, u: float, y: float, ru: float, ry: float
) -> tuple[tuple[slice, slice], Array]:
    """Where in the lung's arrays an ellipse lies, and there 1 - r² (negative outside is kept)."""
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


def lobe(lung: Hemithorax, zone: str) -> Array:
    """Soft mask of a lobe as it projects on a frontal film."""
    t = lung.height()
    if zone == "upper":
        edge = 0.07 if lung.name == "left" else 0.02
        return ramp(np.float32(0.46) + np.float32(0.05) * lung.u - t, edge)
    if zone in ("middle", "lingular"):
        # Against the heart: a wedge under the minor fissure that hides the heart's border.
        wedge = ramp(t - np.float32(0.50), 0.03) * ramp(np.float32(0.86) - t, 0.12)
        return wedge * ramp(np.float32(0.56) - lung.u + np.float32(0.25) * (t - np.float32(0.6)), 0.22)
    # Lower lobe: reaches the diaphragm, spares the heart's border on the right.
    top = np.float32(0.60) - np.float32(0.10) * dome((lung.u - np.float32(0.45)) * np.float32(2.5))
    spared: Array = np.clip(np.float32(0.45) + lung.medial * np.float32(4.0), 0.0, 1.0)
    return ramp(t - top, 0.10) * spared


def consolidation(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """A lobe, or a segment of it, without air: dense, sharp at fissures, bronchi dark within."""
    wobble = random.Random(lesion.seed)
    cloud = cloud_window(frame.size, lung.u.shape, (wobble.random(), wobble.random()))
    amount = lobe(lung, lesion.zone)
    if "focal" in lesion.patterns:
        u, y = wobble.uniform(0.42, 0.50), height_at(lung, ZONE_HEIGHT[lesion.zone])
        du, dy = (lung.u - np.float32(u)) * np.float32(1 / 0.22), (lung.y - np.float32(y)) * np.float32(1 / 0.19)
        amount *= ramp(np.float32(0.8) - du * du - dy * dy + np.float32(0.25) * cloud, 0.5)
    else:
        amount *= np.clip(np.float32(0.92) + np.float32(0.12) * cloud, 0.0, 1.0)
    _air_bronchograms(frame, lung, amount, wobble)
    fill(lung, amount, density=0.90 if lesion.assertion == "present" else 0.62)


def _air_bronchograms(frame: Frame, lung: Hemithorax, amount: Array, wobble: random.Random) -> None:
    tree = vessels(wobble.randrange(VESSEL_VARIANTS), frame.size)
    bronchi = frame.sample(tree, EXTENT, mirror=lung.sign < 0)[lung.box]
    amount *= np.float32(1.0) - np.float32(0.42) * bronchi


def pneumonia(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fluffy airspace shadows in one zone: one confluent, or several patches."""
    wobble = random.Random(lesion.seed)
    cloud = cloud_window(frame.size, lung.u.shape, (wobble.random(), wobble.random()))
    patchy = "patchy" in lesion.patterns
    centre = height_at(lung, ZONE_HEIGHT[lesion.zone])
    amount = np.zeros_like(lung.air)
    for _ in range(6 if patchy else 4):
        spread, radius = (0.15, wobble.uniform(0.07, 0.11)) if patchy else (0.07, wobble.uniform(0.13, 0.18))
        u, y = 0.45 + wobble.gauss(0.0, spread * 0.8), centre + wobble.gauss(0.0, spread * 0.6)
        here, ball = patch(frame, lung, min(max(u, 0.25), 0.64), y, radius * 1.15, radius)
        shadow = np.clip(ball * np.float32(1.3) + np.float32(0.35) * cloud[here], 0.0, 1.0)
        amount[here] = np.maximum(amount[here], shadow)
    fill(lung, amount, density=0.74 if lesion.assertion == "present" else 0.52)


def opacity(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Fainter shadows: hazy, patchy, streaky or interstitial."""
    wobble = random.Random(lesion.seed)
    strength = 1.0 if lesion.assertion == "present" else 0.75
    if "interstitial" in lesion.patterns:
        _reticulation(frame, lung, lesion, wobble, strength)
        return
    if "streaky" in lesion.patterns:
        _strands(frame, lung, lesion, wobble, strength)
        return
    cloud = cloud_window(frame.size, lung.u.shape, (wobble.random(), wobble.random()))
    centre = height_at(lung, ZONE_HEIGHT[lesion.zone])
    if "patchy" in lesion.patterns:
        blobs = [
            (wobble.gauss(0.46, 0.11), centre + wobble.gauss(0.0, 0.08), wobble.uniform(0.05, 0.08))
            for _ in range(5)
        ]
    else:
        blobs = [(wobble.uniform(0.40, 0.52), centre, wobble.uniform(0.20, 0.25))]
    amount = np.zeros_like(lung.air)
    for u, y, radius in blobs:
        here, ball = patch(frame, lung, min(max(u, 0.24), 0.66), y, radius, radius)
        amount[here] = np.maximum(
            amount[here], np.clip(ball * np.float32(1.2) + np.float32(0.18) * cloud[here], 0.0, 1.0)
        )
    lung.air *= np.float32(1.0) - np.float32(0.42 * strength) * amount


def _zone_band(lung: Hemithorax, zone: str) -> Array:
    if not zone:
        return ramp(lung.wall, 0.1)
    return dome(np.clip((lung.height() - np.float32(ZONE_HEIGHT[zone])) * np.float32(1.0 / 0.26), -1.0, 1.0))


def _reticulation(frame: Frame, lung: Hemithorax, lesion: Lesion, wobble: random.Random, strength: float) -> None:
    """A net of fine lines: the zero crossings of cloud noise."""
    net = np.zeros_like(lung.air)
    for _ in range(2):
        cloud = cloud_window(frame.size, lung.u.shape, (wobble.random(), wobble.random()))
        net = np.maximum(net, np.float32(1.0) - np.abs(cloud) * np.float32(4.5))
    net *= _zone_band(lung, lesion.zone)
    lung.opacity += np.float32(0.55 * strength) * net * np.sqrt(np.maximum(lung.air, 0.0))
    lung.air *= np.float32(1.0) - np.float32(0.12 * strength) * _zone_band(lung, lesion.zone)


def _strands(frame: Frame, lung: Hemithorax, lesion: Lesion, wobble: random.Random, strength: float) -> None:
    """Lines that fan out from the hilum."""
    centre = height_at(lung, ZONE_HEIGHT[lesion.zone])
    for _ in range(7):
        u, y = 0.36 + wobble.uniform(0.0, 0.2), centre + wobble.uniform(-0.13, 0.13)
        slope = math.atan2(y + 0.02, u - 0.1) + wobble.gauss(0.0, 0.12)
        band(frame, lung, u, y, slope, wobble.uniform(0.11, 0.18), wobble.uniform(0.011, 0.017), 0.55 * strength)


def band(
    frame: Frame, lung: Hemithorax, u: float, y: float, slope: float, half: float, width: float, strength: float
) -> None:
    """A straight band of attenuation, centred at (u, y), tapering at its ends."""
    drawn = max(width, 0.6 * frame.pixel)
    here, _ = patch(frame, lung, u, y, half, max(half * abs(math.sin(slope)), 3.0 * drawn))
    du, dy = lung.u[here] - np.float32(u), lung.y[here] - np.float32(y)
    c, s = np.float32(math.cos(slope)), np.float32(math.sin(slope))
    along, across = (du * c + dy * s) * np.float32(1.0 / half), (dy * c - du * s) * np.float32(1.0 / drawn)
    line = dome(across) * dome(along)
    lung.opacity[here] += np.float32(strength * (width / drawn) ** 0.5) * line * ramp(lung.wall[here], 0.03)


def atelectasis(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Plates of collapsed lung, near horizontal; a raised diaphragm goes with those at the base."""
    wobble = random.Random(lesion.seed)
    strength = 1.0 if lesion.assertion == "present" else 0.75
    count = (1, 2, 3)[lesion.grade]
    low = lesion.zone in ("basal", "lower", "")
    for i in range(count):
        u = wobble.uniform(0.42, 0.50)
        y = (
            lung.dome - 0.045 - 0.065 * i
            if low
            else height_at(lung, ZONE_HEIGHT[lesion.zone]) + 0.07 * (i - (count - 1) / 2)
        )
        slope = wobble.uniform(-0.12, 0.28)
        band(frame, lung, u, y, slope, wobble.uniform(0.20, 0.27), 0.022 + 0.006 * lesion.grade, 0.95 * strength)
    if low:
        haze = ramp(np.float32(0.10 + 0.03 * lesion.grade) - lung.above, 0.14)
        lung.air *= np.float32(1.0) - np.float32((0.10 + 0.10 * lesion.grade) * strength) * haze


def nodules(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Round shadows: a nodule, a mass, or several nodules."""
    wobble = random.Random(lesion.seed)
    radius = (0.048, 0.080, 0.150)[lesion.grade] + 0.014 * lesion.extent
    multiple = "multiple" in lesion.patterns
    centre = height_at(lung, ZONE_HEIGHT[lesion.zone]) + wobble.uniform(-0.05, 0.05)
    spots = [(wobble.uniform(0.34, 0.56) if lesion.zone != "hilar" else 0.25, centre)]
    if multiple:
        spots = [
            (
                0.30 + 0.30 * ((i * 0.618 + wobble.random() * 0.2) % 1.0),
                height_at(lung, 0.22 + 0.11 * i + wobble.uniform(-0.03, 0.03)),
            )
            for i in range(6)
        ]
        if lesion.zone:
            spots = [(u, centre + wobble.uniform(-0.14, 0.14)) for u, _ in spots[:4]]
    for u, y in spots:
        r = radius * (wobble.uniform(0.8, 1.1) if multiple else 1.0)
        here, ball = patch(frame, lung, u, y, r, r)
        cloud = cloud_window(frame.size, ball.shape, (wobble.random(), wobble.random()))
        core = np.sqrt(np.clip(ball + np.float32(0.05) * cloud, 0.0, 1.0))
        strength = np.float32((0.85, 0.95, 1.1)[lesion.grade] * (1.0 if lesion.assertion == "present" else 0.7))
        lung.opacity[here] += strength * core * ramp(lung.wall[here], 0.03)


def edema(frame: Frame, lung: Hemithorax, lesion: Lesion) -> None:
    """Congestion: full vessels and septal lines when mild, perihilar haze, then dense butterfly shadows."""
    wobble = random.Random(lesion.seed)
    strength = 1.0 if lesion.assertion == "present" else 0.75
    cloud = cloud_window(frame.size, lung.u.shape, (wobble.random(), wobble.random()))
    du, dy = (lung.u - np.float32(0.24)) * np.float32(1 / 0.40), (lung.y + np.float32(0.02)) * np.float32(1 / 0.44)
    wings = np.clip((np.float32(1.0) - du * du - dy * dy) * np.float32(1.25) + np.float32(0.22) * cloud, 0.0, 1.0)
    lung.marking *= np.float32((1.75, 1.9, 1.7)[lesion.grade])
    haze = np.clip(lung.height() * np.float32(1.3) - np.float32(0.2), 0.0, 1.0)
    if lesion.zone == "hilar":
        lung.air *= np.float32(1.0) - np.float32((0.24, 0.48, 0.72)[lesion.grade] * strength) * wings
    else:
        grain = np.clip(np.float32(0.75) + np.float32(0.25) * cloud, 0.0, 1.3)
        lung.air *= np.float32(1.0) - np.float32((0.15, 0.32, 0.55)[lesion.grade] * strength) * haze * grain
    for i in range((4, 5, 3)[lesion.grade]):
        band(
            frame, lung, 0.70, lung.dome + 0.12 - 0.055 * i, wobble.uniform(-0.1, 0.1), 0.065, 0.008, 0.5 * strength
        )
