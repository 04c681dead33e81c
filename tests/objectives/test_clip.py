from __future__ import annotations

import math

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def plain(x, y, scale):
    """Image → text and back, one study at a time."""
    size, total = len(x), 0.0
    for rows, columns in ((x, y), (y, x)):
        for b in range(size):
            logits = [scale * float(rows[b] @ columns[c] / rows[b].norm() / columns[c].norm()) for c in range(size)]
            total += math.log(sum(math.exp(v) for v in logits)) - logits[b]
    return total / size / 2


def test_equals_a_loop(batch) -> None:
    inputs = batch()
    assert float(build_objective("clip")(inputs).total) == pytest.approx(plain(inputs.image, inputs.text, 8.0))


def test_negatives_that_contradict_count_more(batch) -> None:
    inputs = batch(4)
    total, c = 0.0, inputs.contradiction
    for x, y, weights in ((inputs.image, inputs.text, c), (inputs.text, inputs.image, c.T)):
        for b in range(4):
            powers = [
                math.exp(8.0 * float(x[b] @ y[r] / x[b].norm() / y[r].norm())) * (3.0 if weights[b, r] else 1.0)
                for r in range(4)
            ]
            total -= math.log(powers[b] / sum(powers)) / 4 / 2
    objective = build_objective("clip", hard_negatives=math.log(3.0))
    assert float(objective(inputs).total) == pytest.approx(total)
    with pytest.raises(ConfigError, match="Clip needs contradiction"):
        objective(batch(4, contradiction=None))


def test_the_second_task_is_a_term_of_its_own(batch) -> None:
    inputs = batch()
    one, two = (build_objective("clip", concepts=weight)(inputs).terms for weight in (1.0, 2.0))
    assert float(two["concepts"].detach()) == pytest.approx(2 * float(one["concepts"].detach()))
    assert float(one["image_text"]) == float(build_objective("clip")(inputs).terms["image_text"])


def test_scale_is_capped_and_not_stuck(batch) -> None:
    log_scale = torch.tensor(math.log(50.0), dtype=torch.float64, requires_grad=True)
    inputs = batch(log_scale=log_scale)
    output = build_objective("clip", max_scale=10.0)(inputs)
    assert float(output.total.detach()) == pytest.approx(plain(inputs.image, inputs.text, 10.0))
    # Random pairs want a lower scale: a positive gradient must pass although the ceiling is exceeded.
    output.total.backward()
    assert float(log_scale.grad) > 0


def test_scale_does_not_climb_above_its_ceiling(batch) -> None:
    log_scale = torch.tensor(math.log(50.0), dtype=torch.float64, requires_grad=True)
    aligned = torch.eye(4, 5, dtype=torch.float64)
    build_objective("clip", max_scale=10.0)(
        batch(4, image=aligned, text=aligned, log_scale=log_scale)
    ).total.backward()
    assert float(log_scale.grad) == 0
