"""Layers, parameter groups, the moving average, early stopping, token tables: the small parts of a run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from medtrim.errors import ConfigError
from medtrim.models import load_checkpoint, save_checkpoint
from medtrim.models.tokenizer import train_wordpiece
from medtrim.training import read_metrics, train
from medtrim.training.callbacks import MovingAverage
from medtrim.training.collate import Rank, tokenize
from medtrim.training.layers import depth_of, freeze_first_layers, layers_of
from medtrim.training.optimizer import build_optimizer
from medtrim.training.prepare import prepare_run
from medtrim.types import Provenance, schemas
from medtrim.types.tables import annotations_from_table, annotations_to_table, read_table, write_table


def test_layers_are_found_whatever_the_architecture(recipe):
    model = prepare_run(recipe()).bundle.model
    assert layers_of(model.vision_model)[0] == "encoder.stages"
    assert layers_of(model.text_model)[0] == "encoder.layer"
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 3}
    vit = ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes))
    assert len(layers_of(vit)[1]) == 3
    assert layers_of(nn.Linear(2, 2)) == ("", [])


def test_frozen_layers_do_not_move_and_the_others_do(recipe):
    layer = {"model": {"freeze_layers": 1, "vision_config": {"depths": [1, 1, 1, 1]}}}
    config = recipe(layer, {"steps": 3})
    before = {k: v.clone() for k, v in prepare_run(config).bundle.model.state_dict().items()}
    after = load_checkpoint(train(config).checkpoint).model
    frozen = set(freeze_first_layers(after, 1))
    assert "text_model.embeddings.word_embeddings.weight" in frozen
    assert any(name.startswith("vision_model.encoder.stages.0.") for name in frozen)
    assert not any(name.startswith("vision_model.encoder.stages.1.") for name in frozen)
    for name, parameter in after.named_parameters():
        moved = not torch.equal(parameter, before[name])
        # Keys' biases cancel in the softmax: their gradient is rounding noise, which may be 0.
        assert moved == (name not in frozen) or name.endswith("key.bias"), name


def test_more_layers_than_there_are_cannot_be_frozen(recipe):
    with pytest.raises(ConfigError, match="text backbone has 2 layers"):
        prepare_run(recipe({"model": {"freeze_layers": 3}}))


def test_deeper_layers_learn_at_lower_rates(recipe):
    config = recipe({"optimizer": {"layer_decay": 0.5, "weight_decay": 0.1, "learning_rate": 1.0}})
    run = prepare_run(config)
    optimizer = build_optimizer(run.module, config.optimizer)
    rate = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    named = dict(run.module.named_parameters())
    assert rate[id(named["encoder.text_projection.weight"])] == 1.0
    assert rate[id(named["encoder.text_model.encoder.layer.1.output.dense.weight"])] == 0.5
    assert rate[id(named["encoder.text_model.encoder.layer.0.output.dense.weight"])] == 0.25
    assert rate[id(named["encoder.text_model.embeddings.word_embeddings.weight"])] == 0.125
    assert decay[id(named["encoder.logit_scale"])] == 0
    assert decay[id(named["encoder.text_projection.weight"])] == 0.1
    assert len(rate) == len(named), "every parameter is in one group"
    assert depth_of("logit_scale", run.bundle.model) == 0


def test_moving_average_equals_its_recurrence():
    module = nn.Linear(2, 1, bias=False)
    average = MovingAverage(module, 0.9)
    expected = module.weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            module.weight.copy_(torch.tensor([[float(step), -1.0]]))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(average.shadow["weight"], expected)
    own = module.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(module.weight.detach(), expected)
    assert torch.equal(module.weight.detach(), own)


def test_the_averaged_weights_are_the_ones_saved(recipe, tmp_path):
    plain = train(recipe({"out": tmp_path / "plain"}))
    averaged = train(recipe({"out": tmp_path / "ema", "optimizer": {"ema": 0.9}}))
    ours, theirs = (load_checkpoint(r.checkpoint).model.text_projection.weight for r in (averaged, plain))
    assert not torch.equal(ours, theirs)
    assert read_metrics(averaged.metrics)[-1]["loss"] == read_metrics(plain.metrics)[-1]["loss"], "training is not"


def test_stops_early_when_the_metric_has_stopped_improving(recipe):
    seen = []

    def evaluate(bundle, step):
        assert not bundle.model.training
        torch.rand(3)  # whatever it draws must not matter
        seen.append(step)
        return {"score": {1: 0.1, 2: 0.5, 3: 0.4}.get(step, 0.3)}

    layer = {"evaluation": {"every": 1, "metric": "score", "patience": 2}, "steps": 9}
    result = train(recipe(layer), evaluate=evaluate)
    assert seen == [1, 2, 3, 4]
    assert result.steps == 4
    logged = [line["eval/score"] for line in read_metrics(result.metrics) if "eval/score" in line]
    assert logged == [0.1, 0.5, 0.4, 0.3]


def test_evaluating_does_not_change_the_run(recipe, tmp_path):
    dropout = {"model": {"text_config": {"hidden_dropout_prob": 0.3}}}
    plain = train(recipe(dropout, {"out": tmp_path / "plain"}))
    watched = train(
        recipe(dropout, {"out": tmp_path / "watched", "evaluation": {"every": 2, "metric": "m"}}),
        evaluate=lambda bundle, step: {"m": float(torch.rand(()))},
    )
    ours, theirs = (load_checkpoint(r.checkpoint).model.state_dict() for r in (watched, plain))
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_an_unknown_metric_lists_the_measured_ones(recipe):
    with pytest.raises(ConfigError, match="'fine' is not measured; there are coarse"):
        train(
            recipe({"evaluation": {"every": 1, "metric": "fine"}}),
            evaluate=lambda bundle, step: {"coarse": 1.0},
        )


def test_tokens_are_those_of_the_tokenizer(recipe):
    run = prepare_run(recipe())
    texts = [s.report for s in run.corpus.studies]
    table = tokenize(texts, run.bundle.tokenizer, max_tokens=12)
    expected = run.bundle.tokenizer(texts[:5], truncation=True, max_length=12, padding=True, return_tensors="np")
    width = int(table.lengths[:5].max())
    assert np.array_equal(table.batch(np.arange(5), width=width).numpy(), expected["input_ids"])


def test_tokens_by_piece_are_those_of_the_whole_text():
    rng = np.random.default_rng(0)
    known = ["small left effusion.", "no acute disease; heart size normal"]
    letters = [*"ab c\t\n\r\f\v\xa0.é\u0301中-, Σς12", "[SEP]", "[MASK]"]
    odd = ["".join(rng.choice(letters, size=rng.integers(0, 60))) for _ in range(200)]
    texts = [*known, *odd, "", " ", "x" * 150]
    tokenizer = train_wordpiece([*known, *odd[:100]], vocab_size=60, max_tokens=64)
    for limit in (3, 9, 64):
        table = tokenize(texts, tokenizer, max_tokens=limit)
        expected = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
        assert np.array_equal(table.flat, np.concatenate(expected))
        assert table.lengths.tolist() == [len(ids) for ids in expected]
    assert len(tokenize([], tokenizer, max_tokens=9).lengths) == 0


def test_a_batch_marks_words_apart_from_padding_and_special_tokens(recipe):
    run = prepare_run(recipe())
    batch = run.dataset[0]
    tokenizer = run.bundle.tokenizer
    for ids, words in zip(batch["input_ids"], batch["word_mask"], strict=True):
        kept = tokenizer.convert_ids_to_tokens(ids[words].tolist())
        assert kept == [t for t in tokenizer.convert_ids_to_tokens(ids.tolist()) if not t.startswith("[")]


def test_ranks_share_a_batch_without_overlap():
    shared = [study for i in range(4) for study in range(12)[Rank(i, 4).part(12)]]
    assert shared == list(range(12))


def test_going_on_from_a_checkpoint_starts_with_its_weights(recipe, tmp_path):
    first = train(recipe({"out": tmp_path / "first"}))
    layer = {"model": {"checkpoint": str(first.checkpoint)}, "out": tmp_path / "second"}
    run = prepare_run(recipe(layer))
    stored = load_checkpoint(first.checkpoint).model.state_dict()
    ours = run.bundle.model.state_dict()
    assert all(torch.equal(ours[k], stored[k]) for k in stored)
    second = train(recipe(layer, {"objective": {"name": "clip"}}))
    assert json.loads((second.checkpoint / "medtrim.json").read_text())["config"]["objective"]["name"] == "clip"


def test_activation_checkpointing_changes_no_weight(recipe, tmp_path):
    vit = {
        "model_type": "vit",
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "patch_size": 8,
    }
    layer = {"model": {"vision_config": {**vit, "intermediate_size": 16}}, "steps": 2}
    plain = train(recipe(layer, {"out": tmp_path / "plain"}))
    thrifty = train(recipe(layer, {"out": tmp_path / "thrifty", "model": {"activation_checkpointing": True}}))
    ours, theirs = (load_checkpoint(r.checkpoint).model.state_dict() for r in (thrifty, plain))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-5)
    with pytest.raises(ConfigError, match="ConvNextModel has none"):
        train(recipe({"model": {"activation_checkpointing": True}, "out": tmp_path / "convolutional"}))


def test_studies_without_a_finding_are_dealt_by_their_share(recipe, tmp_path):
    table = read_table(recipe().data.annotations, schemas.ANNOTATIONS, table="annotations")
    known = annotations_from_table(table)
    thinned = [replace(a, findings=()) if i % 4 == 0 else a for i, a in enumerate(known)]
    write_table(annotations_to_table(thinned), tmp_path / "a.parquet", Provenance(kind="test"))
    config = recipe({"data": {"annotations": tmp_path / "a.parquet"}, "batch": {"normals": 0.25}})
    plan = prepare_run(config).plan
    assert plan.share.tolist() == [0.25, 1.0, 1.0, 1.0] * 12
    assert prepare_run(recipe()).plan.share is None


def test_the_scale_starts_at_the_temperature_asked_for_or_where_a_checkpoint_left_it(recipe, tmp_path):
    run = prepare_run(recipe({"model": {"temperature": 0.2}}))
    assert run.bundle.model.logit_scale.item() == pytest.approx(math.log(5))
    folder = save_checkpoint(run.bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    for given, scale in ({}, 5.0), ({"temperature": 0.5}, 2.0):
        again = prepare_run(recipe({"model": {"checkpoint": str(folder), **given}}))
        assert again.bundle.model.logit_scale.exp().item() == pytest.approx(scale)


def test_a_model_goes_on_reading_what_it_read_unless_the_recipe_says_otherwise(recipe, tmp_path):
    assert recipe().model.reads == "report"
    run = prepare_run(recipe({"model": {"reads": "findings"}}))
    folder = str(save_checkpoint(run.bundle, tmp_path / "model", Provenance(kind="checkpoint")))
    tokens = {}
    for named in (None, "findings", "report"):
        again = prepare_run(recipe({"model": {"checkpoint": folder, "reads": named}}))
        assert again.bundle.reads == (named or "findings")
        tokens[named] = again.dataset.tokens.lengths.tolist()
    assert tokens[None] == tokens["findings"] != tokens["report"]


def test_words_look_at_a_map_of_at_least_four_by_four(recipe):
    run = prepare_run(recipe({"objective": {"name": "gloria", "options": {}}}))
    size = run.bundle.image_size
    pixels = torch.zeros(2, run.bundle.model.vision_model.config.num_channels, size, size)
    ids = torch.ones(2, 5, dtype=torch.long)
    encoded = run.module(pixels, ids, torch.ones_like(ids))
    assert run.module.regions is not None
    assert encoded["image_local"].shape[1] >= 16
    assert encoded["image_local"].shape[2] == encoded["text_local"].shape[2]


def test_the_saved_scale_is_the_one_that_the_loss_used(recipe):
    run = train(
        recipe({"steps": 2, "objective": {"options": {"max_scale": 14.0}}, "optimizer": {"learning_rate": 0.1}})
    )
    assert float(load_checkpoint(run.checkpoint).model.logit_scale.detach().exp()) <= 14.0 * (1 + 1e-6)
