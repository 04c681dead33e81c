"""MedTrim's multimodal triplet objective."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import at_least
from medtrim.objectives.geometry import cosine, nothing
from medtrim.objectives.inputs import Need, ObjectiveInputs


def hinges(
    distance: Float[Tensor, "B B"], triplets: Int[Tensor, "T 3"], margins: Float[Tensor, "T"]
) -> Float[Tensor, "T"]:
    """max(0, d(a, p) − d(a, n) + m) of each triplet; `distance` has the anchor's modality in its rows."""
    anchor, positive, negative = triplets.unbind(dim=1)
    return torch.relu(distance[anchor, positive] - distance[anchor, negative] + margins)


class MedTrimTriplet(Objective):
    """MedTrim's objective as published: four hinge terms on cosine distances, https://arxiv.org/abs/2504.15929.

        L_image = mean ½ [h(d(i_a, i_p) − d(i_a, i_n) + m) + h(d(i_a, t_p) − d(i_a, t_n) + m)]
        L_text  = mean ½ [h(d(t_a, t_p) − d(t_a, t_n) + m) + h(d(t_a, i_p) − d(t_a, i_n) + m)]
        L       = L_image + L_text,     d = 1 − cos,  h(x) = max(0, x)

    Each study is encoded once and triplets are indices into the batch; the public code encodes a study once a role.
    The terms `image_image`, `image_text`, `text_text`, `text_image` are named anchor's modality first and carry
    the ½. Without triplets the loss is 0. At margin 0 a triplet of identical studies costs nothing.

    Args:
        margin: m, at least 0; `inputs.margins` overrides it triplet by triplet.
        cross_modal: Keep the terms between image and text; without them this is an ablation.
        within_modal: Keep the terms between images and between texts.

    Raises:
        ConfigError: an option is out of range or no term is left.
    """

    needs: frozenset[Need] = frozenset({"triplets"})

    def __init__(self, *, margin: float = 0.3, cross_modal: bool = True, within_modal: bool = True) -> None:
        super().__init__()
        self.margin = at_least("margin", margin, 0.0)
        self.cross_modal = cross_modal
        self.within_modal = within_modal
        if not (cross_modal or within_modal):
            raise ConfigError("cross_modal and within_modal are both off: no term is left")

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        return {name: h.mean() / 2 if len(h) else nothing(h) for name, h in self._hinges(inputs).items()}

    def facts(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        """The share of hinges that still push."""
        every: Bool[Tensor, "N"] = torch.cat(list(self._hinges(inputs).values())) > 0
        return {"active": every.float().mean()} if len(every) else {}

    def _hinges(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        triplets = inputs.triplets
        if triplets is None:
            raise ConfigError("MedTrimTriplet needs triplets")
        margins = inputs.margins
        if margins is None:
            margins = inputs.image.new_full((len(triplets),), self.margin)
        distance: dict[str, Tensor] = {}
        if self.within_modal:
            distance["image_image"] = 1 - cosine(inputs.image, inputs.image)
            distance["text_text"] = 1 - cosine(inputs.text, inputs.text)
        if self.cross_modal:
            distance["image_text"] = 1 - cosine(inputs.image, inputs.text)
            distance["text_image"] = distance["image_text"].T
        return {name: hinges(d, triplets, margins) for name, d in distance.items()}
