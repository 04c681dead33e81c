from __future__ import annotations

import json

import pytest
from transformers import VisionTextDualEncoderModel

from medtrim.models import read_facts
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
