"""CXR-CLIP's multi-view, image and text contrast."""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above, at_least
from medtrim.objectives.clip import info_nce
from medtrim.objectives.geometry import cosine, scale_of
from medtrim.objectives.inputs import Need, ObjectiveInputs


def two_way(logits: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    """½ [InfoNCE(logits) + InfoNCE(logitsᵀ)]."""
    return (info_nce(logits) + info_nce(logits.T)) / 2


class CxrClip(Objective):
    """CXR-CLIP: two images and two texts of each study, contrasted in every pairing, https://arxiv.org/abs/2310.13292.

        L = ¼ Σ_{v, u} C(i_v, t_u) + λ_I · C(i_1, i_2) + λ_T · C(t_1, t_2)

    with C(x, y) = `two_way` of s · cos(x, y): multi-view supervision, image contrast and text contrast. i_2 is a
    second image or augmentation, t_2 a second text (the impression beside the findings). Weights as in its public
    code.

    Args:
        image_weight: λ_I, at least 0.
        text_weight: λ_T, at least 0.
        max_scale: Ceiling of the inverse temperature.

    Raises:
        ConfigError: an option is out of range.
    """

    needs: frozenset[Need] = frozenset({"views"})

    def __init__(self, *, image_weight: float = 1.0, text_weight: float = 0.5, max_scale: float = 100.0) -> None:
        super().__init__()
        self.image_weight = at_least("image_weight", image_weight, 0.0)
        self.text_weight = at_least("text_weight", text_weight, 0.0)
        self.max_scale = above("max_scale", max_scale, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.image_view is None or inputs.text_view is None:
            raise ConfigError("CxrClip needs image_view and text_view")
        scale = scale_of(inputs.log_scale, maximum=self.max_scale)
        pairings = product((inputs.image, inputs.image_view), (inputs.text, inputs.text_view))
        across = torch.stack([two_way(scale * cosine(image, text)) for image, text in pairings])
        return {
            "multi_view": across.mean(),
            "image_image": self.image_weight * two_way(scale * cosine(inputs.image, inputs.image_view)),
            "text_text": self.text_weight * two_way(scale * cosine(inputs.text, inputs.text_view)),
        }
