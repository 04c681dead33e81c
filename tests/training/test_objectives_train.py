"""Every objective goes through the trainer with what it needs, whole, in chunks and with padding cut away."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from medtrim.errors import ConfigError, TrainingError
from medtrim.mining.similarity import score_matrix
from medtrim.objectives import OBJECTIVES
from medtrim.training import read_metrics, train
from medtrim.training.prepare import prepare_run


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains(recipe, corpus_folder, name):
    config = recipe(
        {"objective": {"name": name}, "steps": 2, "log_every": 1},
        {"data": {"triplets": corpus_folder / "triplets.parquet"}},
    )
    line = read_metrics(train(config).metrics)[-1]
    terms = [v for k, v in line.items() if k.startswith("loss/")]
    assert line["loss"] == pytest.approx(sum(terms), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["gloria", "label-only"])
def test_weights_that_an_objective_brings_are_of_the_seed(recipe, name):
    """Regions of GLoRIA have a projection of their own, label-only a classifier."""
    layers = {"objective": {"name": name}}
    drawn = []
    for seed, before in ((0, 1), (0, 2), (5, 1)):
        torch.manual_seed(before)
        state = prepare_run(recipe(layers, {"seed": seed}), pool=False).module.state_dict()
        assert torch.initial_seed() == before
        drawn.append({k: v for k, v in state.items() if not k.startswith("encoder.")})
    assert drawn[0], "there are weights to compare"
    for key, value in drawn[0].items():
        torch.testing.assert_close(value, drawn[1][key], rtol=0, atol=0)
    assert any(not torch.equal(value, drawn[2][key]) for key, value in drawn[0].items())


def weights_after(recipe, tmp_path, name, *layers):
    out = tmp_path / name
    # AdamW divides a gradient by its own size: with the usual 1e-8 the rounding of a tiny one becomes a step.
    base = {"steps": 4, "batch": {"size": 12}, "optimizer": {"epsilon": 1e-6}}
    train(recipe(base, *layers, {"out": out}))
    return load_file(out / "model" / "model.safetensors")


def assert_close(ours, theirs):
    for key, value in theirs.items():
        if key.endswith("key.bias"):
            continue  # cancels in the softmax: AdamW scales its gradient, rounding noise, up to full steps
        torch.testing.assert_close(ours[key], value, atol=2e-5, rtol=1e-4, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("objective", ["medtrim", "gloria", "cxr-clip"])
def test_gradient_caching_equals_the_plain_step(recipe, tmp_path, objective):
    assert objective in OBJECTIVES
    base = {"objective": {"name": objective}}
    plain = weights_after(recipe, tmp_path, "plain", base)
    cached = weights_after(recipe, tmp_path, "cached", base, {"batch": {"chunk": 5}})
    assert_close(cached, plain)


def test_gradient_caching_replays_dropout(recipe, tmp_path):
    """With one chunk's worth of dropout per chunk, the two forward passes of a chunk must agree."""
    dropout = {"model": {"text_config": {"hidden_dropout_prob": 0.5}}, "batch": {"chunk": 4}}
    first = weights_after(recipe, tmp_path, "first", dropout)
    again = weights_after(recipe, tmp_path, "again", dropout)
    assert all(torch.equal(first[k], again[k]) for k in first)


def test_groups_of_like_length_equal_the_plain_step(recipe, tmp_path):
    plain = weights_after(recipe, tmp_path, "plain")
    grouped = weights_after(recipe, tmp_path, "grouped", {"batch": {"length_groups": 3}})
    assert_close(grouped, plain)


def test_a_batch_without_triplets_costs_nothing_and_goes_on(recipe, corpus_folder):
    """Three studies a batch seldom hold a whole triplet."""
    config = recipe(
        {"objective": {"name": "medtrim-triplet"}, "batch": {"size": 3}, "steps": 5, "log_every": 1},
        {"data": {"triplets": corpus_folder / "triplets.parquet"}},
    )
    losses = [line["loss"] for line in read_metrics(train(config).metrics)]
    assert 0.0 in losses
    assert len(losses) == 5


def test_triplets_are_mined_in_the_batch_where_there_is_no_table(recipe):
    config = recipe({"objective": {"name": "medtrim-triplet"}, "mining": {"limit": 50}, "steps": 2})
    run = prepare_run(config)
    rows = run.plan.rows(0)
    triplets = run.knowledge.of(rows, torch.device("cpu"), index=0).triplets
    scores = score_matrix(run.corpus.encoded, rows, rows)
    anchor, positive, negative = triplets.numpy().T
    assert len(triplets) == 50
    assert (scores[anchor, positive] >= 0.6).all()
    assert (scores[anchor, negative] < 0.6).all()
    again = run.knowledge.of(rows, torch.device("cpu"), index=0).triplets
    assert torch.equal(triplets, again)
    assert not torch.equal(triplets, run.knowledge.of(rows, torch.device("cpu"), index=1).triplets)
    assert read_metrics(train(config).metrics)[-1]["loss"] > 0


def test_one_study_batches_are_defined(recipe):
    config = recipe({"batch": {"size": 1}, "steps": 2, "log_every": 1})
    assert [line["loss"] for line in read_metrics(train(config).metrics)] == [0.0, 0.0]


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_ids(recipe):
    config = recipe({"optimizer": {"learning_rate": 1e30, "max_grad_norm": 0, "warmup": 0}, "steps": 20})
    with pytest.raises(TrainingError, match="bad-batch.json"):
        train(config)
    facts = json.loads((config.out / "bad-batch.json").read_text())
    run = prepare_run(config)
    batches = [[run.corpus.studies[r].study_id for r in run.plan.rows(k)] for k in range(20)]
    assert facts["study_ids"] in batches
    assert facts["loss"] in ("nan", "inf", "-inf")


def test_an_objective_without_its_table_is_refused(recipe):
    with pytest.raises(ConfigError, match="data.triplets"):
        train(recipe({"objective": {"name": "medtrim-triplet"}, "data": {"annotations": None}}))
    with pytest.raises(ConfigError, match="data.annotations"):
        train(recipe({"data": {"annotations": None}}))


def test_the_scale_starts_where_the_objective_wants_it(recipe):
    clip = prepare_run(recipe({"objective": {"name": "clip"}}))
    assert clip.bundle.model.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    given = prepare_run(recipe({"objective": {"name": "clip"}, "model": {"temperature": 0.1}}))
    assert given.bundle.model.logit_scale.exp().item() == pytest.approx(10)
