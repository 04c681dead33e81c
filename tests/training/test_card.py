from __future__ import annotations

import json

import pytest

from medtrim.errors import ModelError
from medtrim.models import read_facts, save_checkpoint
from medtrim.training import train
from medtrim.training.card import card_for_hub, card_of_facts
from medtrim.training.prepare import prepare_run
from medtrim.types import Provenance


def test_a_checkpoint_without_a_card_gets_one_from_its_facts(recipe):
    folder = train(recipe({"steps": 2})).checkpoint
    told = card_for_hub(folder, "owner/name", image_size=32)
    assert 'model="owner/name"' in told
    assert "48 studies of 40 patients" in told
    assert "## Results" in told
    (folder / "README.md").unlink()
    anew = card_for_hub(folder, "owner/name", image_size=32)
    before, after = told.index("## Results"), told.index("## Recipe")
    # medtrim.json sorts its keys, and the metrics are in the card alone.
    assert sorted(anew.splitlines()) == sorted((told[:before] + told[after:]).splitlines())


def test_the_card_tells_of_the_vocabulary_and_of_no_folder(recipe, tmp_path):
    run = prepare_run(recipe({"steps": 1}))
    base = save_checkpoint(run.bundle, tmp_path / "somebody" / "base", Provenance(kind="checkpoint"))
    folder = train(recipe({"steps": 1, "model": {"checkpoint": str(base)}, "out": tmp_path / "on"})).checkpoint
    facts, readme = (folder / "medtrim.json").read_text(), (folder / "README.md").read_text()
    assert json.loads(facts)["config"]["model"]["checkpoint"] == "base"
    assert "somebody" not in facts + readme + (folder / "config.json").read_text()
    assert "may list words of that model's reports" in readme
    # As an older version left them.
    (folder / "medtrim.json").write_text(facts.replace('"base"', json.dumps(str(base))))
    (folder / "README.md").write_text(readme.replace("checkpoint: base", f"checkpoint: {base}"))
    assert "somebody" in (folder / "README.md").read_text()
    assert card_for_hub(folder, "owner/name", image_size=32) == readme.replace("THIS_FOLDER", "owner/name")
    (folder / "README.md").unlink()
    assert "somebody" not in card_for_hub(folder, "owner/name", image_size=32)


def test_the_card_names_the_version_that_trained_the_model(recipe):
    folder = train(recipe({"steps": 1})).checkpoint
    facts = read_facts(folder)
    told = card_of_facts({**facts, "medtrim": "0.0.7"}, image_size=32)
    assert "MedTrim 0.0.7" in told
    assert "lists words of them in clear" in told
    pretrained = {**facts["config"], "model": {**facts["config"]["model"], "text": "owner/bert"}}
    assert "words of" not in card_of_facts({**facts, "config": pretrained}, image_size=32)


def test_facts_of_no_run_make_no_card(recipe, tmp_path):
    bundle = prepare_run(recipe()).bundle
    folder = save_checkpoint(bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    with pytest.raises(ModelError, match="of no training run"):
        card_for_hub(folder, "owner/name", image_size=32)
