"""ConVIRT's weighted two-way contrast."""

from __future__ import annotations

from torch import Tensor

from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above, within
from medtrim.objectives.clip import info_nce
from medtrim.objectives.geometry import cosine
from medtrim.objectives.inputs import ObjectiveInputs


class ConVirt(Objective):
    """ConVIRT: InfoNCE at a fixed temperature, image → text weighted higher, https://arxiv.org/abs/2010.00747.

        L = λ · InfoNCE(cos(i, t) / τ) + (1 − λ) · InfoNCE(cos(t, i) / τ)

    Args:
        image_weight: λ, in [0, 1].
        temperature: τ, above 0.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(self, *, image_weight: float = 0.75, temperature: float = 0.1) -> None:
        super().__init__()
        self.image_weight = within("image_weight", image_weight, 0.0, 1.0)
        self.temperature = above("temperature", temperature, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        logits = cosine(inputs.image, inputs.text) / self.temperature
        return {
            "image_text": self.image_weight * info_nce(logits),
            "text_image": (1 - self.image_weight) * info_nce(logits.T),
        }
