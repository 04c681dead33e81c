from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer, VisionTextDualEncoderModel, pipeline

from medtrim.errors import ModelError
from medtrim.models import encode_images, load_checkpoint, read_facts, save_checkpoint, to_pixel_values
from medtrim.models.names import content_mark, is_local, told_name
from medtrim.types import Provenance

PROVENANCE = Provenance(kind="checkpoint", config={"steps": 3}, seed=7)


@pytest.fixture
def folder(tmp_path, tiny):
    return save_checkpoint(tiny, tmp_path / "checkpoint", PROVENANCE, card="# A model\n")


def test_plain_transformers_loads_it(folder, tiny):
    for loader in (AutoModel, VisionTextDualEncoderModel):
        model = loader.from_pretrained(folder)
        assert type(model) is VisionTextDualEncoderModel
        stored = model.state_dict()
        assert all(torch.equal(stored[k], v) for k, v in tiny.model.state_dict().items())
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == tiny.tokenizer.get_vocab()


def test_no_pickle_and_the_facts_beside_the_weights(folder):
    names = sorted(p.name for p in folder.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "medtrim.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert json.loads((folder / "medtrim.json").read_text())["seed"] == 7
    assert read_facts(folder)["config"] == {"steps": 3}


def test_zero_shot_pipeline_agrees_with_our_embeddings(folder):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    labels = ["left pleural effusion", "no effusion"]
    answer = pipeline("zero-shot-image-classification", model=str(folder))(
        image, candidate_labels=labels, hypothesis_template="{}"
    )
    bundle = load_checkpoint(folder)
    tokens = bundle.tokenizer(labels, padding=True, return_tensors="pt")
    pixels = to_pixel_values(torch.from_numpy(np.asarray(image)[None].copy()), bundle.image_processor)
    with torch.no_grad():
        logits = bundle.model(pixel_values=pixels, **tokens).logits_per_image[0]
    ours = dict(zip(labels, logits.softmax(-1).tolist(), strict=True))
    assert {a["label"]: pytest.approx(a["score"], abs=1e-5) for a in answer} == ours


def test_replaces_a_checkpoint_but_no_other_folder(folder, tiny, tmp_path):
    save_checkpoint(tiny, folder, Provenance(kind="checkpoint", seed=8))
    assert read_facts(folder)["seed"] == 8
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(ModelError, match="not empty"):
        save_checkpoint(tiny, other, PROVENANCE)
    assert (other / "thesis.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "mine"], "no remains of a failed write"


def test_loaded_bundle_is_in_eval_mode(folder):
    bundle = load_checkpoint(folder)
    assert not bundle.model.training
    assert bundle.max_tokens == 64
    assert encode_images(bundle.model, torch.zeros(1, 3, 64, 64)).embedding.shape == (1, 128)


def test_a_missing_part_is_an_error(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_checkpoint(folder)
    with pytest.raises(ModelError, match="nowhere"):
        load_checkpoint(folder / "nowhere")
    assert read_facts(folder / "nowhere") == {}


def test_a_mistyped_path_is_never_looked_up_on_the_hub(folder, monkeypatch):
    def network(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", network)
    monkeypatch.chdir(folder.parent)
    (folder.parent / "runs" / "one").mkdir(parents=True)
    (folder.parent / "file").write_bytes(b"")
    for name in (
        "checkpiont",
        "runs/modle",
        "runs/one/modle",
        "a/b/c",
        "./a",
        "../a/b",
        "~/a",
        "/a/b",
        folder / "x",
    ):
        with pytest.raises(ModelError, match="no checkpoint there.*OUT/model"):
            load_checkpoint(name)
    for name in ("file", folder.parent / "file"):
        with pytest.raises(ModelError, match="is a file"):
            load_checkpoint(name)
    folder.rename(folder.parent / "runs" / "one" / "model")
    with pytest.raises(ModelError, match="runs/one holds no checkpoint.*runs/one/model is one"):
        load_checkpoint("runs/one")
    assert load_checkpoint("runs/one/model").max_tokens == 64


def test_a_hub_name_is_still_one(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "runs").mkdir()
    assert not is_local("owner/name")
    assert is_local("runs/name")


def test_a_folder_is_told_by_its_last_part_and_marked_by_its_content(tiny, tmp_path):
    told = {"/data/us/vit/": "vit", "owner/name": "owner/name", "~": "a local folder", "/": "a local folder"}
    told |= {"..": "a local folder", "C:\\users\\vit": "vit", "bert-base": "bert-base"}
    assert {name: told_name(name) for name in told} == told
    one = save_checkpoint(tiny, tmp_path / "one", Provenance(kind="checkpoint"))
    two = save_checkpoint(tiny, tmp_path / "two", Provenance(kind="checkpoint"))
    assert content_mark(str(one)) == content_mark(str(two)) != str(one)
    (two / "config.json").write_text((two / "config.json").read_text() + " ")
    assert content_mark(str(one)) != content_mark(str(two))
    assert content_mark("owner/name") == "owner/name"
