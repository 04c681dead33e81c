"""Drawing lots: patients, exposures, and which findings go together how often.

A study is normal with probability 0.25. Otherwise a clinical setting is drawn (`SETTINGS`), which brings its
findings together: a failing heart is large, its lungs wet and its effusions on both sides; broken ribs bring
air and blood on their side. Frequencies are listed in docs/phantom.md.
"""

from __future__ import annotations

import random

import numpy as np

from medtrim.data.phantom.bones import BONE_VARIANTS
from medtrim.data.phantom.case import Case, Patient, Technique
from medtrim.data.phantom.hardware import IMPLANTS
from medtrim.data.phantom.settings import NORMAL_SHARE, draw_lesions
from medtrim.data.phantom.vessels import VESSEL_VARIANTS


def sample_case(rng: np.random.Generator, *, patient: Patient | None = None) -> Case:
    """A study of a new patient, or of `patient` on another day."""
    lots = random.Random(int(rng.integers(2**63)))
    patient = patient or _patient(lots)
    normal = lots.random() < NORMAL_SHARE
    lesions = () if normal else draw_lesions(lots)
    frail = any(x.severity in ("severe", "large") for x in lesions) or any(x.disease == "edema" for x in lesions)
    return Case(patient, _technique(lots, portable=lots.random() < (0.55 if frail else 0.22)), lesions)


def sample_patient(rng: np.random.Generator) -> Patient:
    """A patient whose studies share their anatomy."""
    return _patient(random.Random(int(rng.integers(2**63))))


def _bounded(lots: random.Random, mean: float, spread: float, low: float, high: float) -> float:
    return min(max(lots.gauss(mean, spread), low), high)


def _patient(lots: random.Random) -> Patient:
    sex = lots.choice("FM")
    age = int(_bounded(lots, 58, 18, 18, 95))
    fat = _bounded(lots, 0.35, 0.25, 0.0, 1.0)
    return Patient(
        sex=sex,
        age=age,
        width=_bounded(lots, 1.0 if sex == "M" else 0.95, 0.045, 0.84, 1.12),
        height=_bounded(lots, 1.0 if sex == "M" else 0.96, 0.05, 0.84, 1.14),
        fat=fat,
        breast=_bounded(lots, 0.35 + 0.5 * fat, 0.2, 0.0, 1.0) if sex == "F" else 0.0,
        cardiothoracic_ratio=_bounded(lots, 0.435, 0.025, 0.37, 0.48),
        aorta=_bounded(lots, 0.75 + 0.006 * (age - 40), 0.15, 0.5, 1.4),
        bones=lots.randrange(BONE_VARIANTS),
        vessels=lots.randrange(VESSEL_VARIANTS),
        implants=tuple(name for name, share in IMPLANTS.items() if age > 50 and lots.random() < share),
        bone_density=_bounded(lots, 1.1 - 0.004 * (age - 40), 0.1, 0.7, 1.3),
    )


def _technique(lots: random.Random, *, portable: bool) -> Technique:
    looseness = 1.5 if portable else 1.0
    edges = tuple(lots.uniform(0.01, 0.05) if lots.random() < 0.22 else 0.0 for _ in range(4))
    return Technique(
        view="AP" if portable else "PA",
        roll=_bounded(lots, 0.0, 0.022 * looseness, -0.10, 0.10),
        yaw=_bounded(lots, 0.0, 0.35 * looseness, -1.2, 1.2),
        scale=_bounded(lots, 1.10, 0.045, 0.98, 1.22),
        shift_x=_bounded(lots, 0.0, 0.025 * looseness, -0.10, 0.10),
        shift_y=_bounded(lots, 0.05, 0.03 * looseness, -0.06, 0.15),
        inspiration=_bounded(lots, 0.35 if portable else 0.6, 0.2, 0.0, 1.0),
        exposure=_bounded(lots, 0.0, 0.13, -0.3, 0.3),
        contrast=_bounded(lots, 0.86 if portable else 1.0, 0.09, 0.65, 1.25),
        noise=_bounded(lots, 0.05 if portable else 0.035, 0.01, 0.015, 0.08),
        heel=_bounded(lots, 0.0, 0.08, -0.2, 0.2),
        collimation=(edges[0], edges[1], edges[2], edges[3]),
        marker=lots.choice("LR") if lots.random() < 0.6 else "",
        gas=lots.random(),
        attached=("electrodes",) if lots.random() < (0.4 if portable else 0.03) else (),
    )
