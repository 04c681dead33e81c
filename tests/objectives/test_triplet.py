from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def distance(x, y):
    return 1 - float(x @ y) / (float(x.norm()) * float(y.norm()))


def plain(image, text, triplets, margin, *, cross=True, within=True):
    """Design equation, triplet by triplet."""
    total = 0.0
    for a, p, n in triplets.tolist():
        for own, other in ((image, text), (text, image)):
            if within:
                total += max(0.0, distance(own[a], own[p]) - distance(own[a], own[n]) + margin) / 2
            if cross:
                total += max(0.0, distance(own[a], other[p]) - distance(own[a], other[n]) + margin) / 2
    return total / len(triplets)


def test_equals_the_authors_losses(shared: Path, batch) -> None:
    cases = json.loads((shared / "parity" / "loss.json").read_text())["cases"]
    for case in cases:
        count = len(case["anchor_image"])
        image = torch.tensor(case["anchor_image"] + case["positive_image"] + case["negative_image"])
        text = torch.tensor(case["anchor_text"] + case["positive_text"] + case["negative_text"])
        triplets = torch.arange(3 * count).view(3, count).T
        inputs = batch(3 * count, image=image, text=text, triplets=triplets, image_view=None, text_view=None)
        terms = build_objective("medtrim-triplet", margin=case["margin"])(inputs).terms
        assert float(terms["image_image"] + terms["image_text"]) == pytest.approx(case["image_loss"], abs=1e-6)
        assert float(terms["text_text"] + terms["text_image"]) == pytest.approx(case["text_loss"], abs=1e-6)


@pytest.mark.parametrize(("cross", "within"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("margin", [0.0, 0.3, 2.5])
def test_equals_a_loop_over_triplets(batch, cross, within, margin) -> None:
    inputs = batch()
    objective = build_objective("medtrim-triplet", margin=margin, cross_modal=cross, within_modal=within)
    expected = plain(inputs.image, inputs.text, inputs.triplets, margin, cross=cross, within=within)
    assert float(objective(inputs).total) == pytest.approx(expected, abs=1e-12)


def test_own_margins_override_the_objectives(batch) -> None:
    inputs = batch(margins=torch.linspace(0, 1, 9, dtype=torch.float64))
    one_by_one = [
        plain(inputs.image, inputs.text, inputs.triplets[[k]], float(m)) for k, m in enumerate(inputs.margins)
    ]
    assert float(build_objective("medtrim-triplet")(inputs).total) == pytest.approx(sum(one_by_one) / 9)


def test_no_triplets_give_a_differentiable_zero(batch) -> None:
    image = torch.randn(4, 5, requires_grad=True)
    output = build_objective("medtrim-triplet")(
        batch(4, image=image, text=torch.randn(4, 5), triplets=torch.empty(0, 3, dtype=torch.long))
    )
    output.total.backward()
    assert float(output.total.detach()) == 0
    assert output.facts == {}
    assert torch.equal(image.grad, torch.zeros(4, 5))


def test_identical_studies_cost_the_margin(batch) -> None:
    same = torch.ones(3, 5)
    inputs = batch(3, image=same, text=same, triplets=torch.tensor([[0, 1, 2]]))
    assert float(build_objective("medtrim-triplet", margin=0.0)(inputs).total) == 0
    output = build_objective("medtrim-triplet", margin=0.3)(inputs)
    assert float(output.total) == pytest.approx(0.6)
    assert float(output.facts["active"]) == 1


def test_no_term_left_is_refused() -> None:
    with pytest.raises(ConfigError, match="no term is left"):
        build_objective("medtrim-triplet", cross_modal=False, within_modal=False)
