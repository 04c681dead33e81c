from __future__ import annotations

import numpy as np
import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.evaluation import embed_images
from medtrim.models import load_checkpoint
from medtrim.training import train
from medtrim.training.prepare import prepare_run

FROZEN = {
    "model": {"frozen": True},
    "objective": {"name": "medtrim", "options": {"concepts": 5.0}},
    "augment": {"features": 0.5},
    "steps": 6,
}


def test_frozen_encoders_stay_and_the_checkpoint_is_plain(recipe, corpus_folder):
    config = recipe(FROZEN)
    before = prepare_run(config).bundle.model
    result = train(config)
    after = load_checkpoint(result.checkpoint).model
    for side in ("vision_model", "text_model"):
        for old, new in zip(getattr(before, side).parameters(), getattr(after, side).parameters(), strict=True):
            torch.testing.assert_close(old, new, rtol=0, atol=0)
    assert not any("parametrizations" in name for name in after.state_dict())
    assert not torch.equal(before.visual_projection.weight, after.visual_projection.weight)


def test_features_are_read_again_and_give_the_same_model(recipe, tmp_path):
    shared = {"data": {"cache": str(tmp_path / "cache")}}
    first = train(recipe(FROZEN, shared, {"out": str(tmp_path / "one")}))
    kept = sorted((tmp_path / "cache" / "features").iterdir())
    stamps = [path.stat().st_mtime_ns for path in kept]
    second = train(recipe(FROZEN, shared, {"out": str(tmp_path / "two")}))
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    one, two = (load_checkpoint(r.checkpoint).model.state_dict() for r in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pooled_features_are_the_towers_own(recipe):
    run = prepare_run(recipe(FROZEN))
    item = run.dataset[0]
    pixels = run.corpus.cache[run.corpus.image_rows[item["rows"].numpy()]]
    expected = embed_images(run.bundle, pixels)
    with torch.no_grad():
        projected = run.bundle.model.visual_projection(item["image_features"])
    np.testing.assert_allclose(torch.nn.functional.normalize(projected, dim=1), expected, atol=1e-5)
    assert set(item) == {"index", "rows", "image_features", "text_features"}


def test_films_are_prepared_for_the_model_as_in_training(recipe):
    result = train(recipe(FROZEN, {"data": {"fit": "lungs", "equalize": True}, "steps": 1}))
    bundle = load_checkpoint(result.checkpoint)
    assert (bundle.fit, bundle.equalize) == ("lungs", True)


def test_unfrozen_encoders_learn_with_captions_too(recipe):
    changed = {"model": {"frozen": False, "standardise": True}, "steps": 2}
    config = recipe(FROZEN, changed)
    before = prepare_run(config).bundle.model.vision_model.state_dict()
    after = load_checkpoint(train(config).checkpoint).model.vision_model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_objectives_that_look_at_words_and_patches_refuse_frozen_features(recipe):
    with pytest.raises(ConfigError, match=r"objective gloria needs what frozen features do not hold"):
        train(recipe(FROZEN, {"objective": {"name": "gloria", "options": {}}}))
