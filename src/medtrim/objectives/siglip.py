"""SigLIP's pairwise sigmoid loss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above
from medtrim.objectives.geometry import cosine, scale_of
from medtrim.objectives.inputs import ObjectiveInputs


def pairwise_sigmoid(logits: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    """−1/B Σ_i Σ_j log σ(z_ij · logits_ij), z = 1 on the diagonal and −1 elsewhere."""
    size = len(logits)
    sign = 2 * torch.eye(size, dtype=logits.dtype, device=logits.device) - 1
    return -logsigmoid(sign * logits).sum() / size


class SigLip(Objective):
    """SigLIP: is this the report of this image, yes or no, for every pair, https://arxiv.org/abs/2303.15343.

        L = −1/B Σ_i Σ_j log σ(z_ij · (s · cos(i_i, t_j) + b)),     s = exp(log_scale), z = ±1

    The scale starts at 10 and the learned bias b, a parameter of this module, at −10, as in the paper.

    Args:
        bias: b at the start.
        max_scale: Ceiling of the inverse temperature (ours; the paper has none).

    Raises:
        ConfigError: `max_scale` is not above 0.
    """

    initial_scale = 10.0

    def __init__(self, *, bias: float = -10.0, max_scale: float = 1000.0) -> None:
        super().__init__()
        self.max_scale = above("max_scale", max_scale, 0.0)
        self.bias = nn.Parameter(torch.tensor(bias))

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        scale = scale_of(inputs.log_scale, maximum=self.max_scale)
        return {"pairs": pairwise_sigmoid(scale * cosine(inputs.image, inputs.text) + self.bias)}
