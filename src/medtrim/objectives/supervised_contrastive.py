"""Supervised contrastive learning by disease set."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above
from medtrim.objectives.geometry import cosine
from medtrim.objectives.inputs import Need, ObjectiveInputs
from medtrim.objectives.labels import same_set


def mean_log_probability(logits: Float[Tensor, "N N"], positive: Bool[Tensor, "N N"]) -> Float[Tensor, ""]:
    """mean over i of −1/|P(i)| Σ_{p ∈ P(i)} log softmax over a ≠ i of logits[i]

    P(i) are the positives of i without itself.
    """
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    # A large finite value, since −inf · 0 of the masked diagonal would give NaN.
    log_probability = logits.masked_fill(itself, torch.finfo(logits.dtype).min / 2).log_softmax(dim=1)
    positive = positive & ~itself
    return -(torch.where(positive, log_probability, 0).sum(dim=1) / positive.sum(dim=1)).mean()


class SupervisedContrastive(Objective):
    """Supervised contrast: studies with the same disease set attract, https://arxiv.org/abs/2004.11362 (L_out).

        L = mean_i −1/|P(i)| Σ_{p ∈ P(i)} log [exp(cos(z_i, z_p) / τ) / Σ_{a ≠ i} exp(cos(z_i, z_a) / τ)]

    z are the 2 B image and text embeddings together; a study's image and text have the same diseases, so that no
    P(i) is empty. The paper contrasts augmented images of single-label classes.

    Args:
        temperature: τ, above 0.

    Raises:
        ConfigError: `temperature` is not above 0.
    """

    needs: frozenset[Need] = frozenset({"labels"})

    def __init__(self, *, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = above("temperature", temperature, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.labels is None:
            raise ConfigError("SupervisedContrastive needs labels")
        both = torch.cat([inputs.image, inputs.text])
        logits = cosine(both, both) / self.temperature
        return {"same_diseases": mean_log_probability(logits, same_set(inputs.labels).repeat(2, 2))}
