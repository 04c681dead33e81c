from __future__ import annotations

import math

import pytest
import torch

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
