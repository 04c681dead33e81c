"""Alignment losses for one's own PyTorch loop: feature tensors and a batch's targets in, a scalar out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from medtrim.errors import ConfigError, TrainingError
from medtrim.library.targets import BatchTargets, FindingTargets
from medtrim.library.triplets import BatchTriplets
from medtrim.objectives import Objective, ObjectiveInputs, ObjectiveOutput, build_objective
from medtrim.training.inputs import BatchKnowledge

Targets = FindingTargets | BatchTargets | BatchTriplets | None


class AlignmentLoss(nn.Module):
    """Any registered objective as a loss of features and targets.

    Args:
        objective: from `medtrim.build_objective(name, …)`; one that needs local features or second views (GLoRIA,
            CXR-CLIP) is called with `medtrim.objectives.ObjectiveInputs` itself.
        learn_scale: whether the inverse temperature s is a parameter of the loss (then give the optimizer the
            parameters of the loss too); otherwise it stays at the objective's initial value.

    Raises:
        ConfigError: the objective needs local features or second views.

    Examples:
        >>> import medtrim, torch
        >>> loss = medtrim.AlignmentLoss(medtrim.build_objective("clip"))
        >>> features = torch.eye(2)
        >>> round(loss(features, features).item(), 4)
        0.0
    """

    def __init__(self, objective: Objective, *, learn_scale: bool = True) -> None:
        super().__init__()
        more = sorted({"local", "views"} & objective.needs)
        if more:
            raise ConfigError(f"{type(objective).__name__} needs {', '.join(more)}: call it with ObjectiveInputs")
        self.objective = objective
        scale = torch.tensor(objective.initial_log_scale)
        if learn_scale:
            self.log_scale: Tensor = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale)

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        targets: Targets = None,
        *,
        logit_scale: Tensor | float | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """The loss of a batch, a scalar to minimise.

        Args:
            image_features, text_features: [B, D] of the same B studies in the same order, of any length and
                precision; they are normalised here.
            targets: of these studies in this order: `FindingTargets[study_ids]`, `StudyTriplets[study_ids]` for
                triplet losses, or `FindingTargets.from_reports(reports)` of the batch's own reports.
            logit_scale: s, above 0, in place of the loss's own: what open_clip calls `logit_scale.exp()`.
            progress: share of the training done, in [0, 1], for objectives that anneal; at 1 they have annealed.

        Raises:
            TrainingError: shapes differ, or the targets are not of B studies.
            ConfigError: the objective needs targets that were not given, or `logit_scale` is not above 0.
        """
        return self.output(image_features, text_features, targets, logit_scale=logit_scale, progress=progress).total

    def output(
        self,
        image_features: Tensor,
        text_features: Tensor,
        targets: Targets = None,
        *,
        logit_scale: Tensor | float | None = None,
        progress: float = 1.0,
    ) -> ObjectiveOutput:
        """The loss with its weighted terms by name and further figures to log; arguments as `forward`."""
        if targets is not None and len(image_features) != (count := _studies(targets)):
            raise TrainingError(
                f"features of {len(image_features)} studies, targets of {count}: "
                "take targets[study_ids] of the batch"
            )
        known = self._known(targets, image_features.device)
        return self.objective(  # type: ignore[no-any-return]
            ObjectiveInputs(
                image=image_features,
                text=text_features,
                log_scale=self._scale(logit_scale, image_features.device),
                progress=progress,
                similarity=known.similarity,
                contradiction=known.contradiction,
                triplets=known.triplets,
                labels=known.labels,
            )
        )

    def _known(self, targets: Targets, device: torch.device) -> BatchKnowledge:
        if targets is None:
            return BatchKnowledge()
        if isinstance(targets, BatchTriplets):
            return BatchKnowledge(triplets=torch.from_numpy(targets.indices).to(device))
        batch = targets[targets.study_ids] if isinstance(targets, FindingTargets) else targets
        return batch.known(self.objective.needs, device)

    def _scale(self, logit_scale: Tensor | float | None, device: torch.device) -> Tensor:
        if logit_scale is None:
            return self.log_scale
        scale = torch.as_tensor(logit_scale, device=device)
        if not (math.isfinite(scale.item()) and scale.item() > 0):
            raise ConfigError(f"logit_scale is the inverse temperature, above 0; received {scale.item():g}")
        return scale.float().log()


def _studies(targets: FindingTargets | BatchTargets | BatchTriplets) -> int:
    return len(targets.study_ids)


class MedTrimLoss(AlignmentLoss):
    """MedTrim's default objective: soft targets from how alike the reports' findings are and where they contradict.

    It is the registered objective `medtrim` (docs/objectives.md has the equation; the similarity is that of
    arXiv:2504.15929).

    Args:
        learn_scale: as in `AlignmentLoss`.
        options: the objective's own, such as `contradiction=0.0` or `within_modal=False`.

    Raises:
        ConfigError: an unknown option or a value out of range.

    Examples:
        >>> import medtrim, torch
        >>> found = medtrim.annotate(["Left effusion.", "Right effusion.", "Clear."], study_ids=["a", "b", "c"])
        >>> targets = medtrim.FindingTargets.from_annotations(found)
        >>> loss = medtrim.MedTrimLoss()
        >>> image, text = torch.randn(2, 8, requires_grad=True), torch.randn(2, 8)
        >>> value = loss(image, text, targets[["b", "a"]])
        >>> value.backward()
        >>> bool(image.grad.abs().sum() > 0)
        True
    """

    def __init__(self, *, learn_scale: bool = True, **options: Any) -> None:
        super().__init__(build_objective("medtrim", **options), learn_scale=learn_scale)


class TripletLoss(AlignmentLoss):
    """MedTrim's published objective: hinges on cosine distances within and across modalities (arXiv:2504.15929).

    It is the registered objective `medtrim-triplet`. It takes mined triplets (`StudyTriplets[batch]`), or
    `FindingTargets[batch]`, of which it takes all admissible triplets; without any in the batch it is 0.

    Args:
        margin: m, at least 0, on the scale of cosine distance (0 to 2).
        cross_modal, within_modal: which terms to keep.

    Raises:
        ConfigError: a value out of range or no term left.

    Examples:
        >>> import medtrim, torch
        >>> found = medtrim.annotate(["Left effusion.", "Left effusion.", "Fracture."], study_ids=["a", "b", "c"])
        >>> triplets = medtrim.mine_triplets(found, method="batch")
        >>> loss, same = medtrim.TripletLoss(margin=0.3), torch.ones(3, 4)
        >>> round(loss(same, same, triplets[["c", "b", "a"]]).item(), 4)  # four hinges of ½ · margin
        0.6
    """

    def __init__(self, *, margin: float = 0.3, cross_modal: bool = True, within_modal: bool = True) -> None:
        objective = build_objective(
            "medtrim-triplet", margin=margin, cross_modal=cross_modal, within_modal=within_modal
        )
        super().__init__(objective, learn_scale=False)
