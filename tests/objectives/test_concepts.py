from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def by_hand(inputs, *, scale, bias):
    """The term, a study and a concept at a time."""
    total = 0.0
    known = inputs.concepts

    def cos(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    for k, weight in enumerate(known.weight.tolist()):
        losses = []
        for b, image in enumerate(inputs.image):
            z = scale * (cos(image, known.positive[k]) - cos(image, known.negative[k])) + bias
            p, y = 1 / (1 + math.exp(-z)), float(known.target[b, k])
            losses.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
        total += weight * sum(losses) / len(losses)
    return total


def test_the_term_is_the_weighted_cross_entropy_of_margins(batch):
    inputs = batch()
    alone = build_objective("concepts")(inputs)
    expected = by_hand(inputs, scale=10.0, bias=-1.0)
    assert 2 * float(alone.terms["image"].detach()) == pytest.approx(expected, rel=1e-6)
    beside = build_objective("medtrim", concepts=3.0)(inputs)
    plain = build_objective("medtrim")(inputs)
    assert float(beside.terms["concepts"].detach()) == pytest.approx(3 * expected, rel=1e-6)
    rest = float(beside.total.detach()) - float(beside.terms["concepts"].detach())
    assert rest == pytest.approx(float(plain.total.detach()))


def test_it_is_off_by_default_and_needs_its_input_when_on(batch):
    assert "concepts" not in build_objective("medtrim").needs
    assert "concepts" not in build_objective("medtrim")(batch(concepts=None)).terms
    with pytest.raises(ConfigError, match="needs concepts, which the batch lacks"):
        build_objective("medtrim", concepts=1.0)(batch(concepts=None))
    with pytest.raises(ConfigError, match="concepts must be a finite number of at least 0"):
        build_objective("medtrim", concepts=-1.0)


def test_training_on_it_orders_images_by_what_their_captions_affirm(batch):
    inputs = batch(size=12, dimension=8)
    target = (inputs.concepts.target > 0.5).double()
    image = inputs.image.clone().requires_grad_()
    objective = build_objective("concepts")
    optimizer = torch.optim.Adam([image], lr=0.1)
    for _ in range(80):
        loss = objective(replace(inputs, image=image, concepts=replace(inputs.concepts, target=target))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unit = torch.nn.functional.normalize
    found = (
        unit(image.detach(), dim=1)
        @ (unit(inputs.concepts.positive, dim=1) - unit(inputs.concepts.negative, dim=1)).T
    )
    for k in range(4):
        yes, no = found[target[:, k] == 1, k], found[target[:, k] == 0, k]
        assert yes.min() > no.max()
