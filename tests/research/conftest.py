"""A small collection of radiographs with notes: drawn boxes, invented patients, random zone scores."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DISEASES = ("pleural effusion", "consolidation", "pneumothorax")
SIDES = ("left", "right")


def write_manifest(folder: Path, *, patients: int, zoned: int) -> Path:
    """Two images a patient with notes of their own, the first `zoned` patients with zone scores."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    names = ["image", "text", "patientid", "view", *(f"zone_{z}" for z in "ABCDEF")]
    rows = []
    for patient in range(patients):
        for visit in range(2):
            name = f"images/p{patient}-{visit}.png"
            Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / name)
            disease, side = DISEASES[patient % 3], SIDES[(patient + visit) % 2]
            text = f"Admitted with fever. There is a {side} {disease}, film {patient}.{visit}."
            scores = rng.integers(0, 4, 6).tolist() if patient < zoned else [""] * 6
            rows.append([name, text, f"person-{patient}", "PA", *scores])
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "data", patients=24, zoned=12)


@pytest.fixture
def unscored(tmp_path: Path) -> Path:
    """The same without zone scores."""
    return write_manifest(tmp_path / "data", patients=12, zoned=0)
