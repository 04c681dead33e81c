"""Batch-hard triplets by disease set."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import at_least
from medtrim.objectives.geometry import cosine, nothing
from medtrim.objectives.inputs import Need, ObjectiveInputs
from medtrim.objectives.labels import same_set


def batch_hard(
    distance: Float[Tensor, "B B"],
    positive: Bool[Tensor, "B B"],
    negative: Bool[Tensor, "B B"],
    *,
    margin: float,
    soft: bool,
) -> Float[Tensor, ""]:
    """mean over a of h(max_p d(a, p) − min_n d(a, n) + m), over the anchors that have both; 0 if there is none.

    h is max(0, ·), or log(1 + exp(·)) if `soft`.
    """
    usable = positive.any(dim=1) & negative.any(dim=1)
    if not bool(usable.any()):
        return nothing(distance)
    farthest = distance.masked_fill(~positive, -torch.inf)[usable].amax(dim=1)
    nearest = distance.masked_fill(~negative, torch.inf)[usable].amin(dim=1)
    gap = farthest - nearest + margin
    return (softplus(gap) if soft else torch.relu(gap)).mean()


class BatchHard(Objective):
    """Batch-hard triplets: the farthest study with the same diseases against the nearest with others.

        L = ½ Σ_{(x, y)} mean_a h(max_{p: D_p = D_a} d(x_a, y_p) − min_{n: D_n ≠ D_a} d(x_a, y_n) + m)

    over (x, y) = image → image, image → text, text → text, text → image, with d = 1 − cos; within a modality a
    study is no positive of itself. https://arxiv.org/abs/1703.07737, equation 5, and its soft margin (section 2).
    Ours: cosine in place of Euclidean distance, and four directions as in MedTrim's objective.

    Args:
        margin: m, at least 0.
        soft: log(1 + exp(·)) in place of the hinge.

    Raises:
        ConfigError: `margin` is out of range.
    """

    needs: frozenset[Need] = frozenset({"labels"})

    def __init__(self, *, margin: float = 0.3, soft: bool = False) -> None:
        super().__init__()
        self.margin = at_least("margin", margin, 0.0)
        self.soft = soft

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.labels is None:
            raise ConfigError("BatchHard needs labels")
        alike = same_set(inputs.labels)
        others = alike & ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
        across = 1 - cosine(inputs.image, inputs.text)
        return {
            name: batch_hard(distance, positive, ~alike, margin=self.margin, soft=self.soft) / 2
            for name, distance, positive in (
                ("image_image", 1 - cosine(inputs.image, inputs.image), others),
                ("image_text", across, alike),
                ("text_text", 1 - cosine(inputs.text, inputs.text), others),
                ("text_image", across.T, alike),
            )
        }
