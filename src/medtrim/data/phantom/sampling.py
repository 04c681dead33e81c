"""Drawing lots: patients, exposures, and which findings go together how often.

A study is normal with the world's probability. Otherwise a clinical setting is drawn (`SETTINGS`), which brings its
findings together: a failing heart is large, its lungs wet and its effusions on both sides; broken ribs bring
air and blood on their side. Frequencies are in `worlds.yaml`; docs/phantom.md lists those of world A.
"""

from __future__ import annotations

import random

import numpy as np

from medtrim.data.phantom.bones import BONE_VARIANTS
from medtrim.data.phantom.case import Case, Patient, Technique
from medtrim.data.phantom.hardware import IMPLANTS
from medtrim.data.phantom.settings import draw_lesions
from medtrim.data.phantom.vessels import VESSEL_VARIANTS
from medtrim.data.phantom.world import Lots, load_world, lots_for


def sample_case(rng: np.random.Generator, *, patient: Patient | None = None, world: str = "A") -> Case:
    """A study of a new patient, or of `patient` on another day."""
    lots = lots_for(load_world(world), int(rng.integers(2**63)))
    patient = patient or _patient(lots)
    normal = lots.random() < lots.world.normal
    lesions = () if normal else draw_lesions(lots)
    frail = any(x.severity in ("severe", "large") for x in lesions) or any(x.disease == "edema" for x in lesions)
    portable = lots.random() < lots.world.portable[0 if frail else 1]
    return Case(patient, _technique(lots, portable=portable), lesions, world)


def sample_patient(rng: np.random.Generator, *, world: str = "A") -> Patient:
    """A patient whose studies share their anatomy."""
    return _patient(lots_for(load_world(world), int(rng.integers(2**63))))


def _bounded(lots: random.Random, mean: float, spread: float, low: float, high: float) -> float:
    return min(max(lots.gauss(mean, spread), low), high)


def _patient(lots: Lots) -> Patient:
    world = lots.world
    sex = lots.choice("FM")
    age = int(_bounded(lots, *world.age, 18, 95))
    fat = _bounded(lots, *world.fat, 0.0, 1.0)
    width, height = world.width[sex == "M"], world.height[sex == "M"]
    return Patient(
        sex=sex,
        age=age,
        width=_bounded(lots, width, 0.045, 0.84, 1.12),
        height=_bounded(lots, height, 0.05, 0.84, 1.14),
        fat=fat,
        breast=_bounded(lots, 0.35 + 0.5 * fat, 0.2, 0.0, 1.0) if sex == "F" else 0.0,
        cardiothoracic_ratio=_bounded(lots, *world.heart, 0.37, 0.48),
        aorta=_bounded(lots, 0.75 + 0.006 * (age - 40), 0.15, 0.5, 1.4),
        bones=lots.randrange(BONE_VARIANTS),
        vessels=lots.randrange(VESSEL_VARIANTS),
        implants=tuple(name for name, share in IMPLANTS.items() if age > 50 and lots.random() < share),
        bone_density=_bounded(lots, 1.1 - 0.004 * (age - 40), 0.1, 0.7, 1.3),
    )


def _technique(lots: Lots, *, portable: bool) -> Technique:
    world, at = lots.world, 0 if portable else 1
    looseness = 1.5 if portable else 1.0
    edges = tuple(lots.uniform(0.01, 0.05) if lots.random() < world.collimated else 0.0 for _ in range(4))
    return Technique(
        view="AP" if portable else "PA",
        roll=_bounded(lots, 0.0, 0.022 * looseness, -0.10, 0.10),
        yaw=_bounded(lots, 0.0, 0.35 * looseness, -1.2, 1.2),
        scale=_bounded(lots, *world.scale, 0.98, 1.22),
        shift_x=_bounded(lots, 0.0, 0.025 * looseness, -0.10, 0.10),
        shift_y=_bounded(lots, world.shift_y, 0.03 * looseness, -0.06, 0.15),
        inspiration=_bounded(lots, world.breath[at], 0.2, 0.0, 1.0),
        exposure=_bounded(lots, 0.0, world.exposure, -0.3, 0.3),
        contrast=_bounded(lots, world.contrast[at], 0.09, 0.65, 1.25),
        noise=_bounded(lots, world.noise[at], 0.01, 0.015, 0.08),
        heel=_bounded(lots, 0.0, world.heel, -0.2, 0.2),
        collimation=(edges[0], edges[1], edges[2], edges[3]),
        marker=lots.choice("LR") if lots.random() < world.marked else "",
        gas=lots.random(),
        attached=("electrodes",) if lots.random() < (0.4 if portable else 0.03) else (),
    )
