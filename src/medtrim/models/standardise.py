"""Pooled features as a linear head wants them: standardised, by a way of writing the projection's weight.

A dual encoder's projection has no bias and sees features of very different means and deviations, which gradient
descent does not like. Here the weight W that transformers applies is written as a function of another one, W′, that
sees z = (p − μ) / σ in place of p:

    W_j = W′_j / σ_j,     W_c = (g · W′_c − Σ_j W′_j μ_j / σ_j) / p_c

with p_c the feature that is constant (zone pooling has one, `medtrim.models.zones`): through it the subtraction of
μ and an own bias g · W′_c are expressed. Without a constant feature μ is taken for 0. When training is over the
weight is left as the plain one that it equals.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import VisionTextDualEncoderModel

GAIN = 10.0  # g: the bias makes embeddings of like length, so that cosines are nearly linear in the features
_LEAST = 1e-4  # a deviation below it is that of a feature that does not vary


class Standardised(nn.Module):
    """The parametrisation W′ → W.

    Args:
        mean, deviation: μ and σ of the features, [F].
    """

    mean: Tensor
    inverse: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        varies = deviation > _LEAST
        constant = torch.nonzero(~varies & (mean.abs() > _LEAST)).flatten()
        self.constant = int(constant[0]) if len(constant) else None
        self.level = float(mean[self.constant]) if self.constant is not None else 1.0
        centred = varies if self.constant is not None else torch.zeros_like(varies)
        self.register_buffer("mean", torch.where(centred, mean, torch.zeros_like(mean)))
        inverse = torch.where(varies, 1 / deviation.clamp_min(_LEAST), torch.zeros_like(deviation))
        self.register_buffer("inverse", inverse)

    def forward(self, standardised: Tensor) -> Tensor:
        """W of W′, both [D F]."""
        weight = standardised * self.inverse
        if self.constant is None:
            return weight
        bias = (GAIN * standardised[:, self.constant] - weight @ self.mean) / self.level
        columns = torch.arange(weight.shape[1], device=weight.device) == self.constant
        return torch.where(columns, bias[:, None], weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """W′ of W, so that what a checkpoint has learned stays; features that never varied have no weight."""
        standardised = weight * _reciprocal(self.inverse)
        if self.constant is not None:
            kept = weight * (self.inverse > 0)
            standardised[:, self.constant] = (self.level * weight[:, self.constant] + kept @ self.mean) / GAIN
        return standardised


def standardise_projection(projection: nn.Linear, features: Tensor, *, fresh: bool, each: bool = True) -> None:
    """Write `projection`'s weight in terms of standardised features.

    Args:
        projection: a dual encoder's visual or text projection, without bias.
        features: pooled vectors of training studies [N F].
        fresh: the weight is random: it becomes W′ rather than W.
        each: every feature by its own mean and deviation; else all by their root mean square, μ being 0.
    """
    features = features.double()
    if each:
        mean, deviation = features.mean(dim=0).float(), features.std(dim=0, correction=0).float()
    else:
        mean = torch.zeros(features.shape[1])
        deviation = torch.full_like(mean, float(features.square().mean().sqrt()))
    standardised = Standardised(mean, deviation).to(projection.weight.device)
    with torch.no_grad():
        if fresh:
            projection.weight.copy_(standardised(projection.weight))
        parametrize.register_parametrization(projection, "weight", standardised)


def deviation_of(projection: nn.Module) -> Tensor | float:
    """Standard deviation of each feature [F] of a standardised projection; 0 of those that do not vary."""
    if not parametrize.is_parametrized(projection, "weight"):
        return 0.0
    parametrization: Any = projection.parametrizations
    return _reciprocal(parametrization.weight[0].inverse)


def _reciprocal(values: Tensor) -> Tensor:
    """1 / x of what is above 0, else 0."""
    return torch.where(values > 0, 1 / values.clamp_min(1e-12), torch.zeros_like(values))


def with_plain_projections(model: VisionTextDualEncoderModel) -> VisionTextDualEncoderModel:
    """A copy of `model` whose projections have the plain weights that they equal; itself where they are plain."""
    if not parametrize.is_parametrized(model.visual_projection, "weight"):
        return model
    # A copy of a parametrised module shares its class, so that removing it from one would break the other:
    # plain layers take their place in the copy.
    written = {id(p): _plain(p) for p in (model.visual_projection, model.text_projection)}
    return copy.deepcopy(model, written)


def _plain(projection: nn.Linear) -> nn.Linear:
    plain = nn.Linear(projection.in_features, projection.out_features, bias=False)
    plain.weight = nn.Parameter(projection.weight.detach().clone())
    return plain
