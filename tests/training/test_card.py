from __future__ import annotations

import pytest

from medtrim.errors import ModelError
from medtrim.models import save_checkpoint
from medtrim.training import train
from medtrim.training.card import card_for_hub
from medtrim.training.prepare import prepare_run
from medtrim.types import Provenance


def test_a_checkpoint_without_a_card_gets_one_from_its_facts(recipe):
    folder = train(recipe({"steps": 2})).checkpoint
    told = card_for_hub(folder, "owner/name")
    assert 'model="owner/name"' in told
    assert "48 studies of 40 patients" in told
    assert "## Results" in told
    (folder / "README.md").unlink()
    anew = card_for_hub(folder, "owner/name")
    before, after = told.index("## Results"), told.index("## Recipe")
    # medtrim.json sorts its keys, and the metrics are in the card alone.
    assert sorted(anew.splitlines()) == sorted((told[:before] + told[after:]).splitlines())


def test_facts_of_no_run_make_no_card(recipe, tmp_path):
    bundle = prepare_run(recipe()).bundle
    folder = save_checkpoint(bundle, tmp_path / "model", Provenance(kind="checkpoint"))
    with pytest.raises(ModelError, match="of no training run"):
        card_for_hub(folder, "owner/name")
