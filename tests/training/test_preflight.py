from __future__ import annotations

import pytest

from medtrim.models import save_checkpoint
from medtrim.training import train
from medtrim.training.doctor import examine
from medtrim.training.optimizer import matrices_of
from medtrim.training.preflight import dry_run, find_problems
from medtrim.training.prepare import prepare_run
from medtrim.types import Provenance


def test_a_dry_run_says_what_train_then_does(recipe):
    config = recipe({"steps": 0, "epochs": 1.5})
    found = dry_run(config)
    assert not (config.out / "metrics.jsonl").exists()
    assert (found.studies, found.patients, found.evaluation) == (48, 40, 0)
    assert found.normal == 0.0
    run = prepare_run(config)
    assert found.parameters == sum(p.numel() for p in run.module.parameters()) == found.trainable
    assert found.state_bytes == 16 * found.parameters
    assert found.token_quantiles[3] == run.dataset.tokens.lengths.max()
    assert train(config).steps == found.steps == 6
    assert any("'val' is empty" in warning for warning in found.warnings)


def test_activations_grow_with_the_batch_and_shrink_with_chunks(recipe):
    plain = dry_run(recipe()).activation_bytes
    double = dry_run(recipe({"batch": {"size": 24}})).activation_bytes
    chunked = dry_run(recipe({"batch": {"chunk": 3}})).activation_bytes
    assert double == pytest.approx(2 * plain, rel=0.05)
    assert chunked == pytest.approx(plain / 4, rel=0.05)


def test_frozen_weights_need_no_optimiser_state(recipe):
    free, frozen = dry_run(recipe()), dry_run(recipe({"model": {"freeze_layers": 1}}))
    assert frozen.trainable < free.trainable
    assert frozen.state_bytes == 4 * frozen.parameters + 12 * frozen.trainable


def test_muon_has_one_moment_and_is_meant_for_random_weights(recipe, tmp_path):
    muon = {"optimizer": {"matrices": "muon"}}
    run, plain, found = prepare_run(recipe(muon)), dry_run(recipe()), dry_run(recipe(muon))
    saved = plain.state_bytes - found.state_bytes
    assert saved == 4 * sum(p.numel() for p in matrices_of(run.module)) > 0
    assert not any("muon" in warning for warning in (*plain.warnings, *found.warnings))
    folder = save_checkpoint(run.bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    warned = dry_run(recipe(muon, {"model": {"checkpoint": str(folder)}})).warnings
    assert any("muon and model.checkpoint brings trained weights" in warning for warning in warned)


def test_long_reports_are_noted(recipe):
    found = dry_run(recipe({"model": {"max_tokens": 6}}))
    assert found.token_quantiles[3] == 6
    assert any("limit of 6 tokens" in warning for warning in found.warnings)


def test_every_problem_is_found_at_once(recipe, tmp_path):
    config = recipe(
        {"data": {"studies": tmp_path / "none.parquet", "annotations": None}, "precision": "fp16"},
        {"model": {"vision": str(tmp_path / "no-backbone")}},
    )
    config.out.mkdir()
    (config.out / "metrics.jsonl").write_text("")
    problems = " | ".join(find_problems(config))
    for part in (
        "none.parquet does not exist",
        "compares annotations",
        "fp16 needs a GPU",
        "holds a run",
        "is no folder",
    ):
        assert part in problems
    assert find_problems(recipe({"out": tmp_path / "fresh"})) == []


def test_doctor_looks_at_cache_model_and_report_lengths(recipe, corpus_folder, tmp_path):
    run = prepare_run(recipe())
    folder = save_checkpoint(run.bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    checks = {
        c.name: c
        for c in examine(
            studies=corpus_folder / "studies.parquet",
            cache=run.corpus.cache.path,
            model=str(folder),
            out=tmp_path,
            checksums=True,
        )
    }
    assert checks["image cache"].seen == "48 images of 32 px"
    assert checks["checksums"].state == "good"
    assert checks["image size"].state == "good"
    assert "torch" in checks["versions"].seen
    assert checks["report lengths"].state == "good"
    assert all(c.state != "bad" for c in checks.values())


def test_doctor_reports_what_is_broken_instead_of_stopping(recipe, tmp_path):
    run = prepare_run(recipe())
    pixels = run.corpus.cache.path / "images.u8"
    data = bytearray(pixels.read_bytes())
    data[5] ^= 255
    pixels.write_bytes(bytes(data))
    states = {
        c.name: c.state for c in examine(cache=run.corpus.cache.path, model="/nowhere/at/all", checksums=True)
    }
    assert states["checksums"] == "bad"
    assert states["model"] == "bad"
    states = {c.name: c.state for c in examine(cache=tmp_path / "no-cache", out=tmp_path / "new" / "run")}
    assert states["image cache"] == "bad"
    assert states["disk"] in ("good", "note")


def test_the_dry_run_of_a_cached_size_below_the_models_is_noted(recipe, tmp_path):
    train(recipe({"data": {"cache": tmp_path / "cache"}, "out": tmp_path / "small", "steps": 1}))
    config = recipe({"data": {"cache": tmp_path / "cache"}, "model": {"image_size": 64}})
    assert any("blown up" in warning for warning in dry_run(config).warnings)
