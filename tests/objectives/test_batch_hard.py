from __future__ import annotations

import math

import pytest
import torch

from medtrim.objectives import build_objective


def plain(inputs, margin, soft):
    """Anchor by anchor in four directions."""
    total, sets = 0.0, inputs.labels.tolist()
    for x, y, within in (
        (inputs.image, inputs.image, True),
        (inputs.image, inputs.text, False),
        (inputs.text, inputs.text, True),
        (inputs.text, inputs.image, False),
    ):
        values = []
        for a in range(len(sets)):
            away = [1 - float(x[a] @ v / x[a].norm() / v.norm()) for v in y]
            positive = [d for r, d in enumerate(away) if sets[r] == sets[a] and not (within and r == a)]
            negative = [d for r, d in enumerate(away) if sets[r] != sets[a]]
            if positive and negative:
                gap = max(positive) - min(negative) + margin
                values.append(math.log1p(math.exp(gap)) if soft else max(0.0, gap))
        total += sum(values) / len(values) / 2 if values else 0.0
    return total


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_a_loop(batch, soft, seed) -> None:
    inputs = batch(9, seed=seed)
    objective = build_objective("batch-hard", margin=0.2, soft=soft)
    assert float(objective(inputs).total) == pytest.approx(plain(inputs, 0.2, soft))


@pytest.mark.parametrize("labels", [torch.zeros(4, 3), torch.eye(4)])
def test_batches_without_negatives_or_without_other_positives(batch, labels) -> None:
    """All alike: nothing to push; all different: only a study's own pair is positive."""
    inputs = batch(4, labels=labels)
    output = build_objective("batch-hard")(inputs)
    assert float(output.total) == pytest.approx(plain(inputs, 0.3, False))
    assert float(output.terms["image_image"]) == 0
