"""What a report says, predicted from the image through captions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.geometry import cosine
from medtrim.objectives.inputs import ConceptTensors, Need, ObjectiveInputs


def concept_margins(image: Float[Tensor, "B D"], concepts: ConceptTensors) -> Float[Tensor, "B K"]:
    """cos(i, affirming caption) − cos(i, denying caption), in [−2, 2]: what zero-shot classification ranks by."""
    return cosine(image, concepts.positive) - cosine(image, concepts.negative)


def concept_loss(
    logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"], weight: Float[Tensor, " K"]
) -> Float[Tensor, ""]:
    """Σ_k w_k · mean over studies of BCE(logit, target)."""
    each = binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=0)
    return (weight * each).sum()


class ConceptTerm(nn.Module):
    """Binary cross-entropy of what the recogniser read in the report, with captions as the classifier's weights.

        L = Σ_k w_k · mean_b BCE(s · [cos(i_b, t_k⁺) − cos(i_b, t_k⁻)] + β, y_bk)

    s and β are learned, one for all concepts, so that the ranking by the margin alone, which is all that zero-shot
    classification has, is what is trained. The idea of descriptions as a classifier's weights is CLIP's zero-shot
    classifier (https://arxiv.org/abs/2103.00020); training it on recognised findings is ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def forward(self, image: Float[Tensor, "B D"], concepts: ConceptTensors) -> Float[Tensor, ""]:
        """The term of a batch."""
        logits = self.log_scale.exp() * concept_margins(image, concepts) + self.bias
        return concept_loss(logits, concepts.target, concepts.weight)


class ConceptsOnly(Objective):
    """½ `ConceptTerm` of the images + ½ of the reports: no study is compared with another.

    What the captions alone teach, without a contrast; the control of `concepts` in `AnnealedKernel`.
    """

    needs: frozenset[Need] = frozenset({"concepts"})

    def __init__(self) -> None:
        super().__init__()
        self.term = ConceptTerm()

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.concepts is None:
            raise ConfigError("ConceptsOnly needs concepts")
        pairs = (("image", inputs.image), ("text", inputs.text))
        return {name: self.term(embedded, inputs.concepts) / 2 for name, embedded in pairs}
