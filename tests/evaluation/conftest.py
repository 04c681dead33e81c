"""A small corpus with images on disk, its truth, and a dual encoder with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtrim.models import EncoderBundle, ModelConfig, build_dual_encoder
from medtrim.types import Annotation, Finding, Study

DISEASES = ("pleural effusion", "cardiomegaly", "edema")


@dataclass
class Corpus:
    studies: list[Study]
    annotations: list[Annotation]
    root: Path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    studies, annotations = [], []
    for i in range(120):
        findings = []
        pixels = rng.integers(40, 60, (32, 32)).astype(np.uint8)
        for row, disease in enumerate(DISEASES):
            if rng.random() < 0.4:
                side = ("left", "right")[int(rng.random() < 0.5)]
                size = ("small", "large")[int(rng.random() < 0.5)]
                findings.append(Finding(disease, "present", (size,), (side,)))
                column = 20 if side == "left" else 4
                pixels[row * 10 : row * 10 + 8, column : column + 8] = 140 if size == "small" else 250
        report = ". ".join(f"{f.adjectives[0]} {f.directions[0]} {f.disease}" for f in findings) or "Clear lungs"
        Image.fromarray(pixels).save(root / f"{i}.png")
        split = "train" if i < 60 else "val" if i < 75 else "test"
        patient = f"p{i // 3}" if i < 75 else f"q{i // 2}"
        studies.append(Study(f"s{i:03d}", patient, (f"{i}.png",), findings=report + ".", split=split))
        annotations.append(Annotation(f"s{i:03d}", tuple(findings)))
    return Corpus(studies, annotations, root)


@pytest.fixture(scope="session")
def bundle(corpus: Corpus) -> EncoderBundle:
    vision = {
        "model_type": "vit",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "patch_size": 8,
    }
    text = {
        "model_type": "bert",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = ModelConfig(
        vision_config=vision, text_config=text, projection_dim=8, image_size=32, max_tokens=24, vocab_size=200
    )
    return build_dual_encoder(config, texts=[s.report for s in corpus.studies], seed=0)
