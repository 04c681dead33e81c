from __future__ import annotations

import math

import pytest

from medtrim.objectives import build_objective


def test_equals_a_loop_over_pairs(batch) -> None:
    inputs = batch()
    total = 0.0
    for i, x in enumerate(inputs.image):
        for j, y in enumerate(inputs.text):
            logit = 8.0 * float(x @ y / x.norm() / y.norm()) - 3.0
            total += math.log1p(math.exp(-logit if i == j else logit))
    assert float(build_objective("siglip", bias=-3.0)(inputs).total.detach()) == pytest.approx(total / 7)


def test_starts_as_the_paper_does(batch) -> None:
    objective = build_objective("siglip")
    assert math.exp(objective.initial_log_scale) == pytest.approx(10)
    assert [float(p.detach()) for p in objective.parameters()] == [-10]
    objective(batch()).total.backward()
    assert float(objective.bias.grad) != 0
