from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.errors import ConfigError, TableError
from medtrim.models import ModelConfig, build_dual_encoder, save_checkpoint
from medtrim.types import Annotation, Finding, Provenance, Study
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table

SIDE = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_size": 16}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    studies, annotations = [], []
    for i in range(60):
        sick, side = i % 2, ("left", "right")[i % 4 // 2]
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{i}.png")
        finding = Finding("pleural effusion", "present", (), (side,))
        annotations.append(Annotation(f"s{i}", (finding,) * sick))
        text = f"{side} pleural effusion" if sick else "clear"
        studies.append(Study(f"s{i}", f"p{i}", (f"{i}.png",), findings=text, split="train" if i < 30 else "test"))
    truth = annotations_to_table(annotations)["findings"]
    write_table(
        studies_to_table(studies).append_column("truth", truth), folder / "s.parquet", Provenance("studies")
    )
    write_table(annotations_to_table(annotations), folder / "a.parquet", Provenance("annotations"))
    config = ModelConfig(
        vision_config={"model_type": "vit", "patch_size": 16, **SIDE},
        text_config={"model_type": "bert", **SIDE},
        projection_dim=8,
        image_size=32,
        max_tokens=16,
        vocab_size=100,
    )
    for seed in (0, 1):
        bundle = build_dual_encoder(config, texts=[s.report for s in studies], seed=seed)
        save_checkpoint(bundle, folder / f"model{seed}", Provenance("checkpoint"))
    return folder


def evaluate(folder: Path, model: int, *more: object) -> Result:
    where = ("--studies", folder / "s.parquet", "-o", folder / f"out{model}", "--resamples", 30)
    return run("evaluate", folder / f"model{model}", *where, *more)


def test_evaluate_twice_then_compare(folder):
    first = evaluate(folder, 0, "--annotations", folder / "a.parquet")
    assert first.exit_code == 0, first.output
    assert "30 studies of 30 patients, 15 of them normal" in first.output
    assert "attribute AUC" in first.output
    second = evaluate(folder, 1, "--truth-column", "truth", "--method", "other")
    assert second.exit_code == 0, second.output
    metrics = pq.read_table(folder / "out1" / "metrics.parquet").to_pylist()
    assert {row["method"] for row in metrics} == {"other"}
    assert {"retrieval", "zero-shot", "probe 100%"} <= {row["task"] for row in metrics}
    compared = run("compare", folder / "out0", folder / "out1", "-o", folder / "c.parquet")
    assert compared.exit_code == 0, compared.output
    assert "model0" in compared.output
    assert len(pq.read_table(folder / "c.parquet")) == len(metrics)


def test_the_same_seed_gives_the_same_tables(folder):
    evaluate(folder, 0, "--truth-column", "truth")
    before = (folder / "out0" / "metrics.parquet").read_bytes()
    evaluate(folder, 0, "--truth-column", "truth")
    assert (folder / "out0" / "metrics.parquet").read_bytes() == before


def test_a_study_whose_image_is_gone_is_rejected_and_strict_says_so(folder, tmp_path):
    table = pq.read_table(folder / "s.parquet")
    studies = tmp_path / "s.parquet"
    pq.write_table(table, studies)
    for i in range(59):
        (tmp_path / f"{i}.png").symlink_to(folder / f"{i}.png")
    where = ("--studies", studies, "-o", tmp_path / "out", "--resamples", 5, "--truth-column", "truth")
    result = run("evaluate", folder / "model0", *where, "--strict")
    assert result.exit_code == 1
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert [(r["study_id"], r["reason"]) for r in rejects] == [("s59", "image file is missing")]


def test_what_is_true_must_be_said_once(folder):
    assert isinstance(evaluate(folder, 0).exception, ConfigError)
    both = evaluate(folder, 0, "--truth-column", "truth", "--annotations", folder / "a.parquet")
    assert isinstance(both.exception, ConfigError)
    assert isinstance(evaluate(folder, 0, "--truth-column", "trth").exception, TableError)
    assert isinstance(run("compare", folder, folder).exception, TableError)
