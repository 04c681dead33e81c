from __future__ import annotations

import math

import pytest

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def one_way(rows, columns, temperature):
    total = 0.0
    for b, x in enumerate(rows):
        logits = [float(x @ y / x.norm() / y.norm()) / temperature for y in columns]
        total += math.log(sum(map(math.exp, logits))) - logits[b]
    return total / len(rows)


@pytest.mark.parametrize("weight", [0.75, 1.0, 0.0])
def test_equals_a_loop(batch, weight) -> None:
    inputs = batch()
    expected = weight * one_way(inputs.image, inputs.text, 0.2)
    expected += (1 - weight) * one_way(inputs.text, inputs.image, 0.2)
    objective = build_objective("convirt", image_weight=weight, temperature=0.2)
    assert float(objective(inputs).total) == pytest.approx(expected)


def test_weight_beyond_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="image_weight must be a number from 0 to 1; received 1.2"):
        build_objective("convirt", image_weight=1.2)
