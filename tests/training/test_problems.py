from __future__ import annotations

import socket
import urllib.error

import pyarrow.parquet as pq
import pytest

from medtrim.models import hub as models_hub
from medtrim.training import preflight
from medtrim.training.load import check_config
from medtrim.training.preflight import find_problems, hub_problems


def said(config, **options):
    return " | ".join(find_problems(config, **options))


def test_a_sound_recipe_has_none(recipe, corpus_folder):
    triplets = {"data": {"triplets": corpus_folder / "triplets.parquet"}, "batch": {"sampler": "triplets"}}
    assert find_problems(recipe()) == []
    assert find_problems(recipe(triplets)) == []


def test_files_output_precision_and_model_are_all_found_at_once(recipe, tmp_path):
    config = recipe(
        {"data": {"studies": tmp_path / "none.parquet", "annotations": None}, "precision": "fp16"},
        {"model": {"vision": str(tmp_path / "no-backbone")}, "evaluation": {"every": 5}},
    )
    config.out.mkdir()
    (config.out / "metrics.jsonl").write_text("")
    found = said(config)
    for part in (
        "data.studies: ",
        "none.parquet does not exist",
        "compares annotations",
        "fp16 needs a GPU",
        "holds a run",
        "is no folder",
        "evaluation.every needs",
    ):
        assert part in found


def test_columns_batch_and_image_size_are_found_at_once(recipe, corpus_folder, tmp_path):
    """None of them hides another, though each would stop a run."""
    table = pq.read_table(corpus_folder / "annotations.parquet")
    pq.write_table(table.rename_columns({"findings": "finding"}), tmp_path / "annotations.parquet")
    table = pq.read_table(corpus_folder / "triplets.parquet")
    pq.write_table(table.drop_columns(["negative"]), tmp_path / "triplets.parquet")
    (tmp_path / "file").write_text("")
    config = recipe(
        {
            "data": {
                "annotations": tmp_path / "annotations.parquet",
                "triplets": tmp_path / "triplets.parquet",
                "image_root": tmp_path,
            },
            "out": tmp_path / "file" / "run",
            "batch": {"size": 400},
            "model": {"vision_config": {"model_type": "vit", "patch_size": 64, "hidden_size": 16}},
        }
    )
    found = said(config)
    for part in (
        "data.annotations: annotations: missing column 'findings', is 'finding' meant?",
        "data.triplets: triplets: missing column 'negative'",
        "batch.size is 400, but the training split has only 40 patients",
        "data.image_root: of 48 training studies none has an image file",
        "out: ",
        "32 px",
    ):
        assert part in found, part


def test_tables_are_looked_at_where_the_studies_are_missing(recipe, tmp_path):
    (tmp_path / "annotations.parquet").write_text("no parquet")
    config = recipe(
        {"data": {"studies": "not-given", "annotations": tmp_path / "annotations.parquet"}, "out": "not-given"}
    )
    found = said(config, missing=("data.studies", "out"))
    assert "cannot be read as Parquet" in found
    assert "not-given" not in found


def test_an_empty_split_and_layers_that_are_not_there(recipe):
    found = said(recipe({"data": {"train_split": "training"}, "model": {"freeze_layers": 90}}))
    assert "no study in split 'training'; splits found: 'train'" in found
    assert "90" in found


def test_what_rests_on_a_key_that_was_left_out_is_not_checked(recipe):
    config = recipe({"data": {"annotations": None}, "batch": {"size": 400}, "model": {"freeze_layers": 90}})
    for key, part in (
        ("objective.name", "compares annotations"),
        ("batch.sise", "only 40 patients"),
        ("model.preset", "90"),
    ):
        assert part in said(config)
        assert part not in said(config, dropped=(key,))


def test_a_mistyped_objective_or_preset_is_told_alone(corpus_folder, tmp_path):
    flags = {"recipe": "tiny-cpu", "data.studies": corpus_folder / "studies.parquet", "out": tmp_path / "run"}
    settings = ["objective.name=klip", "model.preset=papr", "batch.size=12"]
    checked = check_config(None, flags=flags, settings=settings)
    assert checked.dropped == ("model.preset", "objective.name")
    assert len(checked.problems) == 2
    assert find_problems(checked.config, missing=checked.missing, dropped=checked.dropped) == []
    assert "compares annotations" in said(checked.config)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    def refuse(*args, **options):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(models_hub.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(preflight, "try_to_load_from_cache", lambda name, file: None)


def test_hub_models_out_of_reach_are_named_at_once(recipe, no_hub, monkeypatch):
    paper = {"preset": "paper", "vision_config": None, "text_config": None}
    monkeypatch.setattr(preflight, "build_dual_encoder", lambda *a, **k: pytest.fail("waited for the hub"))
    found = find_problems(recipe({"model": paper}))
    assert [line.split(":")[0] for line in found] == ["model.vision", "model.text"]
    assert "google/vit-base-patch16-224" in found[0]
    assert "--set model.vision=FOLDER" in found[0]
    assert hub_problems(recipe({"model": {"checkpoint": "owner/name"}}))[0].startswith("model.checkpoint")
    assert hub_problems(recipe()) == []


def test_a_cached_or_reachable_hub_model_is_no_problem(recipe, no_hub, monkeypatch):
    config = recipe({"model": {"checkpoint": "owner/name"}})
    monkeypatch.setattr(preflight, "try_to_load_from_cache", lambda name, file: f"/cache/{file}")
    assert hub_problems(config) == []
    monkeypatch.setattr(preflight, "try_to_load_from_cache", lambda name, file: None)

    def forbidden(*args, **options):
        raise urllib.error.HTTPError("https://huggingface.co", 403, "Forbidden", {}, None)

    monkeypatch.setattr(models_hub.urllib.request, "urlopen", forbidden)
    assert hub_problems(config) == [], "whoever answers is there"
    monkeypatch.setattr(models_hub.constants, "HF_HUB_OFFLINE", True)
    assert "cannot be reached" in hub_problems(config)[0]
