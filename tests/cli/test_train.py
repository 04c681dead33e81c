from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import ConfigError
from medtrim.types import Annotation, Finding, Provenance
from medtrim.types.tables import annotations_to_table, write_table

RECIPE = """
recipe: tiny-cpu
data: {studies: studies.csv, annotations: annotations.parquet, workers: 1, fractions: {train: 1.0}}
model:
  image_size: 32
  max_tokens: 16
  vision_config: {hidden_sizes: [8, 8, 8, 8], depths: [0, 1, 1, 1]}
  text_config: {hidden_size: 16, num_attention_heads: 2, intermediate_size: 16}
batch: {size: 6}
optimizer: {learning_rate: 2e-5}
out: run
steps: 3
log_every: 1
threads: 1
"""


@pytest.fixture
def folder(tmp_path):
    """A newcomer's data: a CSV with image path, findings, impression and patient, and its annotations."""
    rows = ["study_id,patient_id,image,findings,impression"]
    annotations = []
    for i in range(8):
        side = ("left", "right")[i % 2]
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append(f"s{i},p{i},{i}.png,A {side} pleural effusion.,")
        annotations.append(Annotation(f"s{i}", (Finding("pleural effusion", "present", (), (side,)),)))
    (tmp_path / "studies.csv").write_text("\n".join(rows) + "\n")
    write_table(annotations_to_table(annotations), tmp_path / "annotations.parquet", Provenance(kind="test"))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_trains_from_a_csv_and_flags_override_the_recipe(folder):
    words = ["train", str(folder / "recipe.yaml"), "--steps", "2", "--set", "optimizer.warmup=0", "--seed", "5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "2 steps on 8 studies" in result.output.replace("\n", " ")
    facts = json.loads((folder / "run" / "model" / "medtrim.json").read_text())
    assert facts["seed"] == 5
    assert facts["config"]["optimizer"]["learning_rate"] == 2e-5
    assert facts["config"]["optimizer"]["warmup"] == 0
    assert facts["config"]["augment"]["rotate"] == 4, "from the packaged recipe"


def test_resume_does_not_begin_a_trained_model_anew(folder):
    words = ["train", str(folder / "recipe.yaml"), "--set", "optimizer.warmup=0"]
    assert CliRunner().invoke(app, [*words, "--steps", "1"]).exit_code == 0
    weights = (folder / "run" / "model" / "model.safetensors").read_bytes()
    result = CliRunner().invoke(app, [*words, "--steps", "2", "--resume"])
    assert "no checkpoint to go on from" in str(result.exception)
    assert (folder / "run" / "model" / "model.safetensors").read_bytes() == weights
    assert CliRunner().invoke(app, [*words, "--steps", "0"]).exit_code == 2


def test_a_study_without_an_image_is_rejected_and_strict_says_so(folder):
    (folder / "7.png").unlink()
    result = CliRunner().invoke(app, ["train", str(folder / "recipe.yaml"), "--strict"])
    assert result.exit_code == 1, result.output
    assert "1 record(s) could not be used" in result.output
    assert (folder / "run" / "rejects.parquet").exists()
    assert (folder / "run" / "model" / "model.safetensors").exists(), "the others were trained on all the same"


def test_everything_wrong_with_a_recipe_is_said_at_once(folder):
    words = ["train", str(folder / "recipe.yaml"), "--set", "optimizer.learning_rat=1", "--set", "batch.size=0"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigError)
    message = str(result.exception)
    assert "unknown key 'optimizer.learning_rat', is 'learning_rate' meant?" in message
    assert "batch.size" in message


def test_a_dry_run_trains_nothing(folder):
    result = CliRunner().invoke(app, ["train", str(folder / "recipe.yaml"), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "8 of 8 patients" in result.output
    assert "trained" in result.output
    assert not (folder / "run" / "model").exists()


def test_a_dry_run_lists_every_problem(folder):
    words = [
        "train",
        str(folder / "recipe.yaml"),
        "--dry-run",
        "--annotations",
        "none.parquet",
        "--triplets",
        "no.parquet",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "data.annotations: none.parquet does not exist" in result.output
    assert "data.triplets: no.parquet does not exist" in result.output


def test_a_dry_run_goes_on_past_wrong_keys(folder):
    words = [
        "train",
        str(folder / "recipe.yaml"),
        "--dry-run",
        "--batch-size",
        "500",
        "--annotations",
        "none.parquet",
    ]
    words += ["--set", "train.precision=bf16", "--set", "optimizer.warmup=7"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    told = result.output.replace("\n", " ")
    for part in (
        "unknown key 'train.precision', is 'precision' meant?",
        "optimizer.warmup: ",
        "data.annotations: none.parquet does not exist",
        "batch.size is 500, but the training split has only 8 patients",
    ):
        assert part in told, part
    assert told.count("problem:") == 4
    assert not (folder / "run").exists()


def test_doctor_exits_1_on_a_fault(folder):
    result = CliRunner().invoke(app, ["doctor", "--cache", str(folder / "none")])
    assert result.exit_code == 1
    assert "no image cache" in result.output
    assert CliRunner().invoke(app, ["doctor", "-o", str(folder)]).exit_code == 0


def test_evaluation_while_training_is_logged(folder):
    def run(*words):
        result = CliRunner().invoke(app, [str(w) for w in words])
        assert result.exit_code == 0, result.output

    run("data", "import", folder / "studies.csv", "-o", folder / "s.parquet", "--split", "train=0.5,val=0.5")
    run("data", "cache", folder / "s.parquet", "--size", "32", "-o", folder / "cache")
    run(
        "train", folder / "recipe.yaml", "--studies", folder / "s.parquet", "--cache", folder / "cache",
        "--set", "evaluation.every=1", "--set", "batch.size=2",
    )  # fmt: skip
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum("eval/mean disease P@10" in line for line in lines) == 3
