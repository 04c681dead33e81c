from __future__ import annotations

import builtins

import pytest
import torch
from safetensors.torch import load_file

from medtrim.errors import ConfigError
from medtrim.models import load_checkpoint
from medtrim.training import train
from medtrim.training.config import LoraConfig
from medtrim.training.lora import add_lora, merged
from medtrim.training.prepare import prepare_run

LAYER = {"lora": {"rank": 2, "alpha": 4.0}}


@pytest.fixture(autouse=True)
def peft():
    return pytest.importorskip("peft")


def test_only_adapters_and_heads_are_trained_and_the_result_is_plain(recipe):
    config = recipe(LAYER, {"steps": 4})
    before = {k: v.clone() for k, v in prepare_run(recipe()).bundle.model.state_dict().items()}
    after = load_file(train(config).checkpoint / "model.safetensors")
    assert sorted(after) == sorted(before), "a plain checkpoint, no adapters in it"
    moved = sorted(k for k in before if not torch.equal(before[k], after[k]))
    adapted = [
        f"text_model.encoder.layer.{i}.attention.self.{n}.weight" for i in (0, 1) for n in ("query", "value")
    ]
    assert moved == sorted([*adapted, "logit_scale", "text_projection.weight", "visual_projection.weight"])
    load_checkpoint(config.out / "model")


def test_merging_changes_no_embedding(recipe):
    model = prepare_run(recipe(LAYER)).bundle.model.train(False)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    plain = merged(model)
    ids = torch.tensor([[2, 9, 11, 3]])
    with torch.no_grad():
        ours = model.text_model(ids, attention_mask=torch.ones_like(ids)).pooler_output
        theirs = plain.text_model(ids, attention_mask=torch.ones_like(ids)).pooler_output
    torch.testing.assert_close(theirs, ours)
    assert any("lora_" in name for name, _ in model.named_parameters()), "the trained model keeps its adapters"
    assert merged(plain) is plain


def test_resumes_with_adapters(recipe, tmp_path):
    layer = {**LAYER, "save_every": 2, "steps": 4}
    whole = train(recipe(layer, {"out": tmp_path / "whole"}))
    config = recipe(layer, {"out": tmp_path / "cut"})

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, progress=stop)
    load_checkpoint(config.out / "checkpoints" / "step-00000002")
    resumed = load_file(train(config, resume=True).checkpoint / "model.safetensors")
    assert all(torch.equal(resumed[k], v) for k, v in load_file(whole.checkpoint / "model.safetensors").items())


def test_layers_that_do_not_exist_and_a_missing_package_are_named(recipe, monkeypatch):
    model = prepare_run(recipe()).bundle.model
    with pytest.raises(ConfigError, match="no_such_layer"):
        add_lora(model, LoraConfig(targets=("no_such_layer",)), seed=0)
    real = builtins.__import__

    def without_peft(name, *args, **kwargs):
        if name == "peft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(ConfigError, match=r"medtrim\[lora\]"):
        add_lora(model, LoraConfig(), seed=0)
