from __future__ import annotations

import math

import pytest
import torch
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from medtrim.errors import ModelError
from medtrim.models import (
    ModelConfig,
    build_dual_encoder,
    channel_statistics,
    encode_images,
    encode_texts,
    load_preset,
    make_image_processor,
    train_wordpiece,
)


def test_tiny_embeds_to_unit_vectors(tiny, reports):
    tokens = tiny.tokenizer(list(reports), padding=True, return_tensors="pt")
    text = encode_texts(tiny.model, tokens["input_ids"], tokens["attention_mask"], local=True)
    image = encode_images(tiny.model, torch.randn(4, 3, 64, 64), local=True)
    assert text.embedding.shape == image.embedding.shape == (4, 128)
    torch.testing.assert_close(image.embedding.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(text.embedding.norm(dim=-1), torch.ones(4))
    assert image.local.shape == (4, 4, 128)
    assert text.local.shape == (*tokens["input_ids"].shape, 128)
    assert text.mask.sum() == tokens["attention_mask"].sum()


def test_embeddings_are_those_of_the_transformers_model(tiny, reports):
    tokens = tiny.tokenizer(list(reports), padding=True, return_tensors="pt")
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        output = tiny.model(pixel_values=pixels, **tokens)
        ours = encode_images(tiny.model, pixels).embedding
        theirs = encode_texts(tiny.model, tokens["input_ids"], tokens["attention_mask"]).embedding
    torch.testing.assert_close(ours, output.image_embeds)
    torch.testing.assert_close(theirs, output.text_embeds)


def test_padding_does_not_change_an_embedding(tiny, reports):
    short = tiny.tokenizer(reports[2], return_tensors="pt")
    long = tiny.tokenizer(reports[2], padding="max_length", max_length=40, return_tensors="pt")
    with torch.no_grad():
        a = encode_texts(tiny.model, short["input_ids"], short["attention_mask"]).embedding
        b = encode_texts(tiny.model, long["input_ids"], long["attention_mask"]).embedding
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("groups", [2, 3, 9])
def test_groups_of_like_length_change_nothing(tiny, reports, groups):
    tokens = tiny.tokenizer([reports[1], reports[2], *reports], padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    with torch.no_grad():
        plain = encode_texts(tiny.model, ids, mask, local=True)
        grouped = encode_texts(tiny.model, ids, mask, local=True, groups=groups)
    torch.testing.assert_close(grouped.embedding, plain.embedding)
    torch.testing.assert_close(grouped.local[mask.bool()], plain.local[mask.bool()])
    assert torch.equal(grouped.mask, plain.mask)


def test_seed_decides_weights_and_global_generator_is_untouched(reports):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = build_dual_encoder("tiny", texts=reports, seed=3).model.state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = build_dual_encoder("tiny", texts=reports, seed=3).model.state_dict()
    other = build_dual_encoder("tiny", texts=reports, seed=4).model.state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["visual_projection.weight"], other["visual_projection.weight"])


def test_temperature_sets_the_scale(reports):
    bundle = build_dual_encoder(load_preset("tiny", temperature=0.05), texts=reports, seed=0)
    assert bundle.model.logit_scale.item() == pytest.approx(math.log(20))


@pytest.fixture
def pretrained(tmp_path, reports):
    """Folders of a small ViT and a small BERT, as a user would have them from the hub."""
    torch.manual_seed(0)
    vision, text = tmp_path / "vit", tmp_path / "bert"
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes)).save_pretrained(vision)
    make_image_processor(image_size=32, mean=0.4, std=0.3).save_pretrained(vision)
    tokenizer = train_wordpiece(reports, vocab_size=90, max_tokens=40)
    tokenizer.save_pretrained(text)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(text)
    return vision, text


def test_pretrained_folders_keep_weights_tokenizer_and_statistics(pretrained):
    vision, text = pretrained
    config = load_preset("paper", vision=str(vision), text=str(text), image_size=32)
    bundle = build_dual_encoder(config, seed=0)
    stored = ViTModel.from_pretrained(vision).state_dict()
    ours = bundle.model.vision_model.state_dict()
    assert all(torch.equal(stored[k], ours[k]) for k in stored)
    assert channel_statistics(bundle.image_processor).mean == (0.4, 0.4, 0.4)
    assert bundle.max_tokens == 40
    patches = encode_images(bundle.model, torch.zeros(1, 3, 32, 32), local=True).local
    assert patches.shape == (1, 16, 512), "the class token is no patch"


def test_wrong_image_size_is_refused(pretrained):
    vision, text = pretrained
    with pytest.raises(ModelError, match="64 px image"):
        build_dual_encoder(load_preset("paper", vision=str(vision), text=str(text), image_size=64), seed=0)


def test_backbone_without_a_pooled_vector_is_refused(tmp_path, pretrained):
    folder = tmp_path / "resnet"
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(folder)
    make_image_processor(image_size=32, mean=0.5, std=0.5).save_pretrained(folder)
    config = load_preset("paper", vision=str(folder), text=str(pretrained[1]), image_size=32)
    with pytest.raises(ModelError, match=r"vision backbone: a pooled vector of shape \(1, 16\)"):
        build_dual_encoder(config, seed=0)


def test_missing_folder_is_named(pretrained, tmp_path):
    config = load_preset("paper", vision=str(tmp_path / "nowhere"), text=str(pretrained[1]))
    with pytest.raises(ModelError, match="nowhere"):
        build_dual_encoder(config, seed=0)


def test_presets_merge_nested_keys_and_refuse_unknown_ones():
    narrow = load_preset("tiny", text_config={"hidden_size": 64})
    assert narrow.text_config["hidden_size"] == 64
    assert narrow.text_config["model_type"] == "bert"
    with pytest.raises(ModelError, match="colour"):
        load_preset("tiny", colour="blue")
    with pytest.raises(ModelError, match="there are: tiny"):
        load_preset("huge")
    with pytest.raises(ValueError, match="model_type"):
        ModelConfig(text="somewhere")
