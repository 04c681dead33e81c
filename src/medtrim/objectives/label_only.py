"""Label-only training: a classifier on top, no contrast."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.inputs import Need, ObjectiveInputs


class LabelOnly(Objective):
    """Multi-label disease classification of images and texts, whose features are then used.

        L = ½ [BCE(W i + b, l) + BCE(W' t + b', l)],     mean over studies and diseases

    The plain supervised baseline of the field (CheXNet, https://arxiv.org/abs/1711.05225). The classifiers are
    parameters of this module. With a shared one (W = W') images and texts meet in one space, though only
    through the diseases.

    Args:
        dimension: Size of the embeddings; the trainer supplies it.
        classes: Columns of the labels; the trainer supplies it.
        shared: One classifier for both modalities.

    Raises:
        ConfigError: the labels have another number of columns than `classes`.
    """

    needs: frozenset[Need] = frozenset({"labels"})

    def __init__(self, *, dimension: int, classes: int, shared: bool = True) -> None:
        super().__init__()
        self.image_head = nn.Linear(dimension, classes)
        self.text_head = self.image_head if shared else nn.Linear(dimension, classes)

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        labels = inputs.labels
        if labels is None or labels.ndim != 2 or labels.shape[1] != self.image_head.out_features:
            received = None if labels is None else tuple(labels.shape)
            raise ConfigError(f"labels must be [B {self.image_head.out_features}]; received {received}")
        return {
            name: binary_cross_entropy_with_logits(head(x.to(head.weight.dtype)), labels.to(head.weight.dtype)) / 2
            for name, head, x in (("image", self.image_head, inputs.image), ("text", self.text_head, inputs.text))
        }
