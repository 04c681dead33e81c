from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import VisionTextDualEncoderModel

from medtrim.errors import ConfigError
from medtrim.models import load_checkpoint, read_facts
from medtrim.search.encoder import QueryEncoder
from medtrim.training import read_metrics, train


def test_a_run_from_tables_to_a_plain_checkpoint(recipe):
    seen, lines = [], []
    config = recipe()
    result = train(config, progress=lambda done, total: seen.append((done, total)), on_metrics=lines.append)
    assert result.steps == 6
    assert result.studies == 48
    assert seen == [(i, 6) for i in range(1, 7)]
    names = sorted(p.name for p in result.checkpoint.iterdir())
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pth"))]
    VisionTextDualEncoderModel.from_pretrained(result.checkpoint)
    assert read_facts(result.checkpoint)["extra"] == {"patients": 40, "steps": 6, "studies": 48}
    assert str(config.out) not in json.dumps(read_facts(result.checkpoint)), "no path of this machine"
    card = (result.checkpoint / "README.md").read_text()
    assert "48 studies of 40 patients" in card
    assert "pipeline_tag: zero-shot-image-classification" in card
    assert "name: medtrim" in card
    assert str(config.out.parent) not in card
    logged = read_metrics(result.metrics)
    assert logged == lines
    assert [line["step"] for line in logged] == [1, 2, 4, 6]
    terms = [k for k in logged[-1] if k.startswith("loss/")]
    assert terms == ["loss/image_text", "loss/text_image", "loss/image_image", "loss/text_text"]
    assert logged[-1]["loss"] == pytest.approx(sum(logged[-1][k] for k in terms), rel=1e-5)
    assert logged[-1]["epoch"] == pytest.approx(6 * 12 / 48)


@pytest.mark.parametrize("objective", ["medtrim", "convirt"])  # one text a study, and two
def test_a_checkpoint_remembers_that_its_texts_are_findings(recipe, objective):
    config = recipe({"model": {"reads": "findings"}, "objective": {"name": objective}, "steps": 1})
    bundle = load_checkpoint(train(config).checkpoint)
    assert bundle.reads == "findings"
    assert "heart" not in bundle.tokenizer.get_vocab(), "the reports' own words are not learned"
    encoder = QueryEncoder(bundle)
    texts = ["A left effusion is seen. " * 40, "left pleural effusion", "Right pneumothorax."]
    one, two, other = map(encoder.as_read, texts)
    assert one == two != other
    assert encoder.is_cut(texts[0])
    assert not encoder.is_cut(one)


def test_the_number_of_threads_is_what_it_was_before(recipe):
    before, meanwhile = torch.get_num_threads(), []
    config = recipe({"threads": before + 1, "steps": 1})
    train(config, progress=lambda *_: meanwhile.append(torch.get_num_threads()))
    assert (meanwhile, torch.get_num_threads()) == ([before + 1], before)


def test_bf16_on_the_cpu_trains_float32_weights(recipe):
    result = train(recipe({"precision": "bf16", "log_every": 1}))
    assert all(math.isfinite(line["loss"]) for line in read_metrics(result.metrics))
    model = VisionTextDualEncoderModel.from_pretrained(result.checkpoint)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused(recipe):
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        train(recipe({"precision": "fp16"}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_gpu(recipe, precision):
    result = train(recipe({"precision": precision, "log_every": 1, "save_every": 3}))
    assert all(math.isfinite(line["loss"]) for line in read_metrics(result.metrics))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(recipe, tmp_path):
    runs = {
        name: load_file(train(recipe({"seed": seed, "out": tmp_path / name})).checkpoint / "model.safetensors")
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    }
    assert all(torch.equal(runs["a"][k], runs["b"][k]) for k in runs["a"])
    assert not torch.equal(runs["a"]["text_projection.weight"], runs["c"]["text_projection.weight"])
