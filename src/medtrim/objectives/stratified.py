"""In-batch triplets with negatives from every stratum of the score."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import at_least, within
from medtrim.objectives.geometry import cosine, nothing
from medtrim.objectives.inputs import Need, ObjectiveInputs

# A score less than this below the positive's is the same score; Jaccard terms differ by more.
SAME = 1e-3


def stratum_hinge(
    distance: Float[Tensor, "B B"],
    positive: Float[Tensor, "B"],
    negatives: Bool[Tensor, "B B"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """mean over anchors of the mean over their negatives n of max(0, positive_a − d(a, n) + m).

    Anchors without negatives do not count; without any at all it is 0.
    """
    count = negatives.sum(dim=1)
    usable = count > 0
    if not bool(usable.any()):
        return nothing(distance, positive)
    hinge = torch.where(negatives, torch.relu(positive[:, None] - distance + margin), 0)
    return (hinge.sum(dim=1)[usable] / count[usable]).mean()


class StratifiedTriplets(Objective):
    """MedTrim triplets of the batch's own scores, with negatives of every degree of likeness; ours.

    The published ceiling keeps a study with the same diseases from ever being a negative, so descriptors never
    decide one. Here every anchor a takes, by S = w · (disease, adjective, direction) of https://arxiv.org/abs/2504.15929,

        positive   p = the best-scoring other study
        negatives  far: S < low;   middle: low ≤ S < high;   near: high ≤ S < S(a, p)
        L = ½ Σ_{(x, y)} Σ_stratum mean_{a, n} max(0, d(x_a, y_p) − d(x_a, y_n) + m_stratum) + own

    over (x, y) = image or text to image or text, and own = `own_pair` times the same across modalities with p = a,
    S(a, p) = S(a, a). A stratum's negatives all count, by their mean, so that nothing is drawn at random.

    Args:
        disease, adjective, direction: w.
        low, high: Bounds of the strata, in [0, 1].
        far_margin, middle_margin, near_margin: m.
        own_pair: Weight of the own-pair triplets, at least 0.

    Raises:
        ConfigError: an option is out of range.
    """

    needs: frozenset[Need] = frozenset({"similarity"})

    def __init__(
        self,
        *,
        disease: float = 0.85,
        adjective: float = 0.10,
        direction: float = 0.05,
        low: float = 0.25,
        high: float = 0.6,
        far_margin: float = 0.3,
        middle_margin: float = 0.3,
        near_margin: float = 0.15,
        own_pair: float = 1.0,
    ) -> None:
        super().__init__()
        self.weights = (
            at_least("disease", disease, 0.0),
            at_least("adjective", adjective, 0.0),
            at_least("direction", direction, 0.0),
        )
        self.low = within("low", low, 0.0, 1.0)
        self.high = within("high", high, low, 1.0)
        self.margins = {
            "far": at_least("far_margin", far_margin, 0.0),
            "middle": at_least("middle_margin", middle_margin, 0.0),
            "near": at_least("near_margin", near_margin, 0.0),
        }
        self.own_pair = at_least("own_pair", own_pair, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.similarity is None:
            raise ConfigError("StratifiedTriplets needs similarity")
        score = inputs.similarity.weighted(*self.weights)
        image, text = inputs.image, inputs.text
        across = 1 - cosine(image, text)
        distances = {
            "image_image": 1 - cosine(image, image),
            "image_text": across,
            "text_text": 1 - cosine(text, text),
            "text_image": across.T,
        }
        own = score.diagonal()
        others = score.masked_fill(torch.eye(len(score), dtype=torch.bool, device=score.device), -1.0)
        best, index = others.max(dim=1)
        terms = {
            name: self._strata(d, d.gather(1, index[:, None])[:, 0], others, best) / 2
            for name, d in distances.items()
        }
        if self.own_pair:
            pairs = [self._strata(d, d.diagonal(), others, own) for d in (across, across.T)]
            terms["own_pair"] = self.own_pair * torch.stack(pairs).sum() / 2
        return terms

    def _strata(
        self,
        distance: Float[Tensor, "B B"],
        positive: Float[Tensor, "B"],
        score: Float[Tensor, "B B"],
        ceiling: Float[Tensor, "B"],
    ) -> Float[Tensor, ""]:
        below = (score >= 0) & (score < ceiling[:, None] - SAME)
        strata = {
            "far": below & (score < self.low),
            "middle": below & (score >= self.low) & (score < self.high),
            "near": below & (score >= self.high),
        }
        hinges = [stratum_hinge(distance, positive, n, margin=self.margins[name]) for name, n in strata.items()]
        return torch.stack(hinges).sum()
