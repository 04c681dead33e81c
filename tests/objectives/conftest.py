"""A batch of random studies, for any objective."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from medtrim.objectives import ConceptTensors, ObjectiveInputs, SimilarityTensors


def make_batch(size: int = 7, dimension: int = 5, *, seed: int = 0, **changes: Any) -> ObjectiveInputs:
    """Random embeddings, similarities, labels, locals, views and a few triplets; `changes` replace fields."""
    rng = torch.Generator().manual_seed(seed)
    contradicting = torch.Generator().manual_seed(seed + 1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    def square() -> torch.Tensor:
        x = torch.rand(size, size, generator=rng, dtype=torch.float64)
        return x.fill_diagonal_(1.0)

    mask = torch.ones(size, 6, dtype=torch.bool)
    mask[::2, 4:] = False
    values: dict[str, Any] = {
        "image": normal(size, dimension),
        "text": normal(size, dimension),
        "log_scale": torch.tensor(math.log(8.0), dtype=torch.float64),
        "progress": 0.4,
        "similarity": SimilarityTensors(disease=square(), adjective=square(), direction=square()),
        "contradiction": torch.randint(0, 2, (size, size), generator=contradicting).double().fill_diagonal_(0.0),
        "triplets": torch.randint(0, max(size, 1), (9, 3), generator=rng),
        "labels": torch.randint(0, 2, (size, 4), generator=rng).double(),
        "image_local": normal(size, 3, dimension),
        "text_local": normal(size, 6, dimension),
        "text_mask": mask,
        "image_view": normal(size, dimension),
        "text_view": normal(size, dimension),
        "concepts": ConceptTensors(
            positive=normal(4, dimension),
            negative=normal(4, dimension),
            target=torch.rand(size, 4, generator=contradicting).double(),
            weight=torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64),
        ),
    }
    return ObjectiveInputs(**{**values, **changes})


@pytest.fixture
def batch() -> Callable[..., ObjectiveInputs]:
    return make_batch
