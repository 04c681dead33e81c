"""The frame that all alignment objectives share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields, replace

import torch
from torch import Tensor, nn

from medtrim.errors import ConfigError
from medtrim.objectives.geometry import at_least_float32
from medtrim.objectives.inputs import ConceptTensors, Need, ObjectiveInputs, ObjectiveOutput, SimilarityTensors

_FIELDS: dict[Need, tuple[str, ...]] = {
    "similarity": ("similarity",),
    "contradiction": ("contradiction",),
    "triplets": ("triplets",),
    "labels": ("labels",),
    "local": ("image_local", "text_local", "text_mask"),
    "views": ("image_view", "text_view"),
    "concepts": ("concepts",),
}


class Objective(nn.Module, ABC):
    """An alignment objective; subclasses give the weighted terms of a batch, `forward` adds them up.

    Everything runs in float32 (float64 if given), outside autocast. An objective may own parameters (a bias, a
    classifier): optimise and save them with the model's.

    Attributes:
        needs: The optional inputs without which `forward` raises; an instance may need more than its class.
        initial_scale: Inverse temperature at which `log_scale` should start: exp(log_scale).
        max_scale: Ceiling of the inverse temperature; infinite where the objective has none.
    """

    needs: frozenset[Need] = frozenset()
    initial_scale: float = 1 / 0.07
    max_scale: float = math.inf

    @abstractmethod
    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        """The terms of the loss by name, weighted; all inputs are float32 or float64."""

    def facts(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        """Figures worth logging beside the terms; none by default."""
        return {}

    @property
    def initial_log_scale(self) -> float:
        """Natural logarithm of `initial_scale`."""
        return math.log(self.initial_scale)

    @torch.no_grad()
    def clamp_scale(self, log_scale: Tensor) -> None:
        """Hold the parameter itself at the ceiling, so that what is saved is what the loss used."""
        log_scale.clamp_(max=math.log(self.max_scale))

    def forward(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """The loss of a batch and its terms.

        Raises:
            ConfigError: an input in `needs` is absent.
        """
        for need in sorted(self.needs):
            absent = [name for name in _FIELDS[need] if getattr(inputs, name) is None]
            if absent:
                raise ConfigError(f"{type(self).__name__} needs {', '.join(absent)}, which the batch lacks")
        with torch.autocast(inputs.image.device.type, enabled=False):
            inputs = _in_full_precision(inputs)
            terms = self.weighted_terms(inputs)
            with torch.no_grad():
                facts = {name: value.detach() for name, value in self.facts(inputs).items()}
        return ObjectiveOutput(total=torch.stack(list(terms.values())).sum(), terms=terms, facts=facts)


def _in_full_precision(inputs: ObjectiveInputs) -> ObjectiveInputs:
    dtype = at_least_float32(inputs.image).dtype
    names = (
        "image",
        "text",
        "log_scale",
        "contradiction",
        "margins",
        "labels",
        "image_local",
        "text_local",
        "image_view",
        "text_view",
    )
    present = {name: getattr(inputs, name) for name in names}
    changed = {name: value.to(dtype) for name, value in present.items() if value is not None}
    similarity = inputs.similarity and SimilarityTensors(
        disease=inputs.similarity.disease.to(dtype),
        adjective=inputs.similarity.adjective.to(dtype),
        direction=inputs.similarity.direction.to(dtype),
    )
    concepts = inputs.concepts and ConceptTensors(
        **{f.name: getattr(inputs.concepts, f.name).to(dtype) for f in fields(inputs.concepts)}
    )
    return replace(inputs, similarity=similarity, concepts=concepts, **changed)
