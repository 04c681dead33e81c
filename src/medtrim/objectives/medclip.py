"""MedCLIP's semantic matching loss."""

from __future__ import annotations

from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above
from medtrim.objectives.geometry import cosine, scale_of
from medtrim.objectives.inputs import Need, ObjectiveInputs
from medtrim.objectives.labels import label_cosine, label_product
from medtrim.objectives.soft_targets import soft_cross_entropy


class MedClip(Objective):
    """MedCLIP: the cosine of disease labels as soft targets between modalities, https://arxiv.org/abs/2210.10163.

        y = softmax_j(cos(l_i, l_j) / τ),     L = ½ [CE(y, softmax(s · cos(i, t))) + CE(y, softmax(s · cos(t, i)))]

    s = exp(log_scale). The paper has τ = 1, which makes nearly flat targets, and extracts labels by MetaMap; ours
    are the recogniser's diseases, `no finding` counting as one. Here a batch holds the image and the report of
    each study, where the paper also samples unpaired ones. The paper's equation has the cosine of the labels; its
    public code takes their plain product ⟨l_i, l_j⟩, so that studies with several diseases weigh more.

    Args:
        target_temperature: τ, above 0.
        label_product: ⟨l_i, l_j⟩ as in the public code instead of the cosine.
        max_scale: Ceiling of the inverse temperature.

    Raises:
        ConfigError: an option is out of range.
    """

    needs: frozenset[Need] = frozenset({"labels"})

    def __init__(
        self, *, target_temperature: float = 1.0, label_product: bool = False, max_scale: float = 100.0
    ) -> None:
        super().__init__()
        self.label_product = label_product
        self.target_temperature = above("target_temperature", target_temperature, 0.0)
        self.max_scale = above("max_scale", max_scale, 0.0)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.labels is None:
            raise ConfigError("MedClip needs labels")
        alike = label_product if self.label_product else label_cosine
        affinity = alike(inputs.labels) / self.target_temperature
        logits = scale_of(inputs.log_scale, maximum=self.max_scale) * cosine(inputs.image, inputs.text)
        return {
            "image_text": soft_cross_entropy(logits, affinity, own_pair=True) / 2,
            "text_image": soft_cross_entropy(logits.T, affinity, own_pair=True) / 2,
        }
