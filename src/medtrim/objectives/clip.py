"""CLIP's symmetric InfoNCE."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above
from medtrim.objectives.geometry import cosine, scale_of
from medtrim.objectives.inputs import ObjectiveInputs


def info_nce(logits: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    """mean over b of −log softmax(logits[b])[b]: each row should pick its own column; 0 for one study."""
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class Clip(Objective):
    """CLIP: each image should pick its own report in the batch, and the reverse, https://arxiv.org/abs/2103.00020.

        L = ½ [InfoNCE(s · cos(i, t)) + InfoNCE(s · cos(t, i))],     s = exp(log_scale) ≤ max_scale

    A batch of one study costs 0. Studies with identical reports count as each other's negatives, as in the paper.

    Args:
        max_scale: Ceiling of the inverse temperature.

    Raises:
        ConfigError: `max_scale` is not above 0.
    """

    def __init__(self, *, max_scale: float = 100.0) -> None:
        super().__init__()
        self.max_scale = above("max_scale", max_scale, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        logits = scale_of(inputs.log_scale, maximum=self.max_scale) * cosine(inputs.image, inputs.text)
        return {"image_text": info_nce(logits) / 2, "text_image": info_nce(logits.T) / 2}
