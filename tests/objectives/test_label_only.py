from __future__ import annotations

import math

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def test_equals_a_loop(batch) -> None:
    inputs = batch()
    objective = build_objective("label-only", dimension=5, classes=4, shared=False)
    total = 0.0
    for head, x in ((objective.image_head, inputs.image), (objective.text_head, inputs.text)):
        for b, row in enumerate(x):
            for c in range(4):
                logit = float(head.weight[c].detach().double() @ row) + float(head.bias[c].detach())
                truth = bool(inputs.labels[b, c])
                total += math.log1p(math.exp(-logit if truth else logit)) / 7 / 4 / 2
    assert float(objective(inputs).total.detach()) == pytest.approx(total, rel=1e-5)


def test_shared_head_is_one() -> None:
    assert len(list(build_objective("label-only", dimension=5, classes=4).parameters())) == 2
    assert len(list(build_objective("label-only", dimension=5, classes=4, shared=False).parameters())) == 4


def test_sizes_are_asked_for(batch) -> None:
    with pytest.raises(ConfigError, match="'label-only' needs dimension"):
        build_objective("label-only", classes=4)
    with pytest.raises(ConfigError, match=r"labels must be \[B 3\]; received \(7, 4\)"):
        build_objective("label-only", dimension=5, classes=3)(batch())
    with pytest.raises(ConfigError, match="no option 'dimensions'"):
        build_objective("label-only", dimension=5, classes=3, dimensions=4)


def test_learns_labels() -> None:
    """A separable toy set is classified after a few steps."""
    from medtrim.objectives import ObjectiveInputs

    torch.manual_seed(0)
    labels = torch.eye(4).repeat(4, 1)
    inputs = ObjectiveInputs(image=labels + 0.1, text=labels - 0.1, log_scale=torch.tensor(0.0), labels=labels)
    objective = build_objective("label-only", dimension=4, classes=4)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        objective(inputs).total.backward()
        optimizer.step()
    assert torch.equal(objective.image_head(inputs.image).argmax(1), labels.argmax(1))
