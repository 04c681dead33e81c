"""A corpus small enough to train on within a test: 48 studies of 40 patients, a blob where the report says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medtrim.training import TrainConfig, build_config
from medtrim.types import Annotation, Finding, Provenance, Study, Triplet
from medtrim.types.tables import annotations_to_table, studies_to_table, triplets_to_table, write_table

SIDES = ("left", "right")
KINDS = ("pleural effusion", "pneumothorax", "lung opacity")


def make_study(index: int, rng: np.random.Generator, folder: Path) -> tuple[Study, Annotation]:
    side, kind = SIDES[index % 2], KINDS[index % 3]
    pixels = rng.normal(90, 8, (32, 32))
    row, column = (24, 12, 6)[index % 3], 22 if side == "left" else 4
    pixels[row : row + 6, column : column + 6] += 90
    image = folder / "images" / f"{index:03d}.png"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(image)
    study = Study(
        study_id=f"s{index:03d}",
        patient_id=f"p{index % 40:03d}",
        images=(f"images/{image.name}",),
        findings=f"There is a {side} {kind}." + " The heart is normal." * (index % 2),
        impression=f"{side.capitalize()} {kind}.",
        split="train",
    )
    return study, Annotation(study.study_id, (Finding(kind, "present", (), (side,)),))


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    pairs = [make_study(i, rng, folder) for i in range(48)]
    studies, annotations = [s for s, _ in pairs], [a for _, a in pairs]
    provenance = Provenance(kind="test")
    write_table(studies_to_table(studies), folder / "studies.parquet", provenance)
    write_table(annotations_to_table(annotations), folder / "annotations.parquet", provenance)
    # Anchor and positive differ by 6: same side and disease; the negative differs in both.
    triplets = [Triplet(f"s{i:03d}", f"s{i + 6:03d}", f"s{(i + 7) % 48:03d}", 1.0, 0.3) for i in range(42)]
    write_table(triplets_to_table(triplets), folder / "triplets.parquet", provenance)
    return folder


@pytest.fixture(scope="session")
def recipe_in(corpus_folder):
    """Makes a small configuration of a run in a folder; layers are laid over it section by section."""

    def make(out: Path, *layers: dict[str, Any]) -> TrainConfig:
        base: dict[str, Any] = {
            "data": {
                "studies": corpus_folder / "studies.parquet",
                "annotations": corpus_folder / "annotations.parquet",
                "workers": 1,
            },
            "out": out,
            "model": {
                "preset": "tiny",
                "image_size": 32,
                "max_tokens": 24,
                "projection_dim": 16,
                "vision_config": {"hidden_sizes": [8, 8, 16, 16], "depths": [0, 1, 1, 1]},
                "text_config": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16},
            },
            "batch": {"size": 12},
            "optimizer": {"learning_rate": 3e-3, "warmup": 0.1},
            "steps": 6,
            "log_every": 2,
            "threads": 1,
        }
        return build_config(base, *layers)

    return make


@pytest.fixture
def recipe(recipe_in, tmp_path):
    """The same in the test's own folder."""
    return partial(recipe_in, tmp_path / "run")
