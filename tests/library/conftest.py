"""A folder as the examples of the public names expect it: studies, annotations, a model and an index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medtrim
from medtrim.models import ModelConfig, build_dual_encoder, save_checkpoint
from medtrim.types import Provenance, Study
from medtrim.types.sources import load_annotations
from medtrim.types.tables import studies_to_table, write_table

SIDE = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_size": 16}
REPORTS = (
    "Small left pleural effusion. No pneumothorax.",
    "Large right pleural effusion.",
    "Mild cardiomegaly.",
    "The lungs are clear. No pleural effusion.",
)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from medtrim.search.index import build_index

    folder = tmp_path_factory.mktemp("workplace")
    rng = np.random.default_rng(0)
    studies = []
    for i in range(24):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{i}.png")
        split = "train" if i < 16 else "test"
        studies.append(Study(f"s{i:02d}", f"p{i}", (f"{i}.png",), findings=REPORTS[i % 4], split=split))
    write_table(studies_to_table(studies), folder / "studies.parquet", Provenance("studies"))
    found = medtrim.annotate(folder / "studies.parquet")
    write_table(found, folder / "annotations.parquet", Provenance("annotations"))
    config = ModelConfig(
        vision_config={"model_type": "vit", "patch_size": 16, **SIDE},
        text_config={"model_type": "bert", **SIDE},
        projection_dim=8,
        image_size=32,
        max_tokens=16,
        vocab_size=100,
    )
    bundle = build_dual_encoder(config, texts=[s.report for s in studies], seed=0)
    save_checkpoint(bundle, folder / "model", Provenance("checkpoint"))
    annotations = load_annotations(found).annotations
    build_index(folder / "model", studies, annotations, folder / "index", root=folder, thumbnail=0)
    return folder
