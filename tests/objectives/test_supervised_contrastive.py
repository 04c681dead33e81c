from __future__ import annotations

import math

import pytest
import torch

from medtrim.objectives import build_objective


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_a_loop(batch, seed) -> None:
    labels = torch.randint(0, 2, (7, 2), generator=torch.Generator().manual_seed(seed))
    inputs = batch(seed=seed, labels=labels)
    points = [x / x.norm() for x in torch.cat([inputs.image, inputs.text])]
    sets = labels.tolist() * 2
    total = 0.0
    for i, z in enumerate(points):
        others = [a for a in range(14) if a != i]
        norm = math.log(sum(math.exp(float(z @ points[a]) / 0.2) for a in others))
        alike = [p for p in others if sets[p] == sets[i]]
        total -= sum(float(z @ points[p]) / 0.2 - norm for p in alike) / len(alike)
    objective = build_objective("supervised-contrastive", temperature=0.2)
    assert float(objective(inputs).total) == pytest.approx(total / 14)
