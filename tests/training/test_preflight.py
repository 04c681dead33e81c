from __future__ import annotations

import os

import pytest
import torch

from medtrim.models import save_checkpoint
from medtrim.training import train
from medtrim.training.optimizer import matrices_of
from medtrim.training.preflight import Check, DryRun, crowding, dry_run, examine
from medtrim.training.prepare import prepare_run
from medtrim.types import Provenance


def noted(found: DryRun) -> list[str]:
    return [f"{c.name}: {c.seen}" for c in found.checks if c.state != "good"]


def by_name(found: DryRun) -> dict[str, Check]:
    assert len({c.name for c in found.checks}) == len(found.checks)
    return {c.name: c for c in found.checks}


def test_a_dry_run_says_what_train_then_does(recipe):
    config = recipe({"steps": 0, "epochs": 1.5})
    found = dry_run(config)
    assert not (config.out / "metrics.jsonl").exists()
    checks = by_name(found)
    assert checks["training studies"].seen == "48 of 40 patients"
    assert checks["normal studies"].seen == "0%"
    run = prepare_run(config)
    assert found.parameters == sum(p.numel() for p in run.module.parameters()) == found.trainable
    assert found.state_bytes == 16 * found.parameters
    assert f"longest {run.dataset.tokens.lengths.max()};" in checks["report lengths"].seen
    assert train(config).steps == found.steps == 6
    assert noted(found) == ["evaluation studies: 0: split 'val' is empty, nothing to evaluate on"]


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
    towers = dry_run(recipe({"model": {"frozen": True}}))
    run = prepare_run(recipe({"model": {"frozen": True}}), pool=False)
    encoder = run.bundle.model
    assert (
        towers.trainable
        == sum(
            p.numel()
            for part in (encoder.visual_projection, encoder.text_projection, run.module.objective)
            for p in part.parameters()
        )
        + encoder.logit_scale.numel()
    )
    assert towers.activation_bytes < free.activation_bytes / 10


def test_muon_has_one_moment_and_is_meant_for_random_weights(recipe, tmp_path):
    muon = {"optimizer": {"matrices": "muon"}}
    run, plain, found = prepare_run(recipe(muon)), dry_run(recipe()), dry_run(recipe(muon))
    saved = plain.state_bytes - found.state_bytes
    assert saved == 4 * sum(p.numel() for p in matrices_of(run.module)) > 0
    assert not any("muon" in note for note in (*noted(plain), *noted(found)))
    folder = save_checkpoint(run.bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    warned = noted(dry_run(recipe(muon, {"model": {"checkpoint": str(folder)}})))
    assert any("muon and model.checkpoint brings trained weights" in note for note in warned)


def test_long_reports_are_noted(recipe):
    found = dry_run(recipe({"model": {"max_tokens": 6}}))
    lengths = by_name(found)["report lengths"]
    assert lengths.state == "note"
    assert "longest 6; " in lengths.seen
    assert "are cut at 6 tokens" in lengths.seen


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
    assert any("blown up" in note for note in noted(dry_run(config)))


@pytest.mark.parametrize(("threads", "load", "said"), [(2, 12.0, True), (2, 3.0, False), (1, 12.0, False)])
def test_threads_on_a_busy_machine_are_advised_against(monkeypatch, tmp_path, threads, load, said):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ("load 12" in (crowding(threads) or "")) == said
    seen = next(check for check in examine(out=tmp_path) if check.name == "threads")
    assert (seen.state == "note") == ("threads=1" in seen.seen) == (load > 3)
