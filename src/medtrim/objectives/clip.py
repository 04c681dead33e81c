"""CLIP's symmetric InfoNCE."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above, at_least
from medtrim.objectives.concepts import ConceptTerm
from medtrim.objectives.geometry import cosine, scale_of
from medtrim.objectives.inputs import ObjectiveInputs


def info_nce(logits: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    """mean over b of −log softmax(logits[b])[b]: each row should pick its own column; 0 for one study."""
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class Clip(Objective):
    """CLIP: each image should pick its own report in the batch, and the reverse, https://arxiv.org/abs/2103.00020.

        L = ½ [InfoNCE(s · cos(i, t) + h C) + InfoNCE(s · cos(t, i) + h Cᵀ)],     s = exp(log_scale) ≤ max_scale

    A batch of one study costs 0. Studies with identical reports count as each other's negatives, as in the paper.
    h and `concepts` are 0 in the paper. They are controls that give CLIP what MedTrim reads in the reports, as
    harder negatives (after Robinson et al. 2021, https://arxiv.org/abs/2010.04592) or as a second task.

    Args:
        hard_negatives: h, at least 0: a negative that shares a disease with the study and contradicts it in its
            side, zone or severity (C = 1) counts exp(h) times.
        concepts: weight of `ConceptTerm`, at least 0.
        max_scale: Ceiling of the inverse temperature.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(self, *, hard_negatives: float = 0.0, concepts: float = 0.0, max_scale: float = 100.0) -> None:
        super().__init__()
        self.max_scale = above("max_scale", max_scale, 0.0)
        self.hard_negatives = at_least("hard_negatives", hard_negatives, 0.0)
        self.concepts = at_least("concepts", concepts, 0.0)
        if hard_negatives:
            self.needs = self.needs | {"contradiction"}
        if concepts:
            self.needs = self.needs | {"concepts"}
            self.concept_term = ConceptTerm()

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        logits = scale_of(inputs.log_scale, maximum=self.max_scale) * cosine(inputs.image, inputs.text)
        if self.hard_negatives and inputs.contradiction is not None:  # `forward` has refused a batch without them
            logits = logits + self.hard_negatives * inputs.contradiction
        terms = {"image_text": info_nce(logits) / 2, "text_image": info_nce(logits.T) / 2}
        if self.concepts and inputs.concepts is not None:
            terms["concepts"] = self.concepts * self.concept_term(inputs.image, inputs.concepts)
        return terms
