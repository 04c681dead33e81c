"""Soft targets: the meta-entity similarities say what share of the pull each study gets."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.base import Objective
from medtrim.objectives.checks import above, at_least, within
from medtrim.objectives.geometry import cosine, nothing, scale_of
from medtrim.objectives.inputs import Need, ObjectiveInputs, SimilarityTensors


def soft_cross_entropy(
    logits: Float[Tensor, "A R"], affinity: Float[Tensor, "A R"], *, own_pair: bool
) -> Float[Tensor, ""]:
    """mean over a of −Σ_r softmax(affinity[a])_r · log softmax(logits[a])_r.

    `own_pair=False` leaves the diagonal out of both softmaxes, as within one modality, where a study is trivially
    like itself. With fewer than two columns that leaves nothing and gives 0.
    """
    if own_pair:
        return -(affinity.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    if logits.shape[1] < 2:
        return nothing(logits)
    # Removing the diagonal keeps every remaining value finite; masking by −inf would give 0 · −inf.
    return soft_cross_entropy(_without_diagonal(logits), _without_diagonal(affinity), own_pair=True)


def class_sizes(similarity: SimilarityTensors) -> Float[Tensor, "B"]:
    """How many studies of the batch have each study's very annotation, itself included.

    A study is like itself in everything that it has (a normal one has no descriptors, so its descriptor terms are
    0), and no study is more like it than that.
    """
    alike = similarity.weighted(1.0, 1.0, 1.0)
    return (alike >= alike.diagonal()[:, None] - SAME).to(alike.dtype).sum(dim=1)


def _without_diagonal(square: Float[Tensor, "B B"]) -> Float[Tensor, "B C"]:
    size = len(square)
    return square.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def term_weights(disease: float, adjective: float, direction: float) -> tuple[float, float, float]:
    """The weights of the score's three terms; raises a `ConfigError` where one is negative or all are 0."""
    weights = (
        at_least("disease", disease, 0.0),
        at_least("adjective", adjective, 0.0),
        at_least("direction", direction, 0.0),
    )
    if not any(weights):
        raise ConfigError("disease, adjective and direction are all 0: nothing is alike")
    return weights


# Two sums of similarities that differ by less are equal: Jaccard indices of different sets differ by more.
SAME = 1e-4


class AffinityObjective(Objective):
    """Cross-entropy between softmax(Q) over the batch and softmax of the scaled similarities.

        ℓ(x, y; Q) = mean_a −Σ_r softmax(Q[a, :])_r · log softmax(s · cos(x_a, y_:))_r
        L = ½ [ℓ(i, t; Q) + ℓ(t, i; Q)] + ½ [w_ii ℓ(i, i; Q′) + w_tt ℓ(t, t; Q′)],     r ≠ a within a modality

    Subclasses say what Q and Q′ are. w_ii is `image_weight`, w_tt `text_weight`. With Q = 0 on and −∞ off the
    diagonal the first bracket is CLIP.

    At its optimum ℓ(i, t) makes s · cos rank reports by likelihood ratio: n studies with equal annotations share
    the target, each gets 1/n, and an image that is normal with probability 0.9 ranks a rare finding of probability
    0.01 above the normal reports, of which there are many. `prior_correction` λ takes λ log n_r off the logits of
    report r in ℓ(i, t), n_r the studies of the batch with its annotation, so that s · cos has to make up for it:
    logit adjustment (Menon et al. 2021, https://arxiv.org/abs/2007.07314). At 1 an image ranks reports by how
    probable their annotation is, at 0 by how much more probable than on average.
    """

    needs: frozenset[Need] = frozenset({"similarity"})

    def __init__(
        self,
        *,
        cross_modal: bool,
        within_modal: bool,
        image_weight: float,
        text_weight: float,
        max_scale: float,
        prior_correction: float = 0.0,
    ) -> None:
        super().__init__()
        self.prior_correction = within("prior_correction", prior_correction, 0.0, 1.0)
        self.image_weight = at_least("image_weight", image_weight, 0.0)
        self.text_weight = at_least("text_weight", text_weight, 0.0)
        self.cross_modal = cross_modal
        self.within_modal = within_modal
        self.max_scale = above("max_scale", max_scale, 0.0)
        if not (cross_modal or (within_modal and (image_weight or text_weight))):
            raise ConfigError("cross_modal and within_modal are both off or weigh nothing: no term is left")

    @abstractmethod
    def affinity(
        self, similarity: SimilarityTensors, contradiction: Float[Tensor, "B B"] | None, progress: float
    ) -> Float[Tensor, "B B"]:
        """Q: the logits of the targets. `contradiction` is there where `needs` names it."""

    def affinity_within(
        self, affinity: Float[Tensor, "B B"], similarity: SimilarityTensors, progress: float
    ) -> Float[Tensor, "B B"]:
        """Q′: the logits of the targets within a modality, made from Q (`affinity`); Q itself unless overridden."""
        return affinity

    def text_weight_at(self, progress: float) -> float:
        """w_tt at a share of the training; the same throughout unless a subclass anneals it."""
        return self.text_weight

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if inputs.similarity is None:
            raise ConfigError(f"{type(self).__name__} needs similarity")
        affinity = self.affinity(inputs.similarity, inputs.contradiction, inputs.progress)
        scale = scale_of(inputs.log_scale, maximum=self.max_scale)
        terms: dict[str, Tensor] = {}
        if self.cross_modal:
            logits = scale * cosine(inputs.image, inputs.text)
            rarer = logits
            if self.prior_correction:
                rarer = logits - self.prior_correction * class_sizes(inputs.similarity).log()
            terms["image_text"] = soft_cross_entropy(rarer, affinity, own_pair=True) / 2
            terms["text_image"] = soft_cross_entropy(logits.T, affinity, own_pair=True) / 2
        if self.within_modal:
            within = self.affinity_within(affinity, inputs.similarity, inputs.progress)
            for name, x, weight in (
                ("image_image", inputs.image, self.image_weight),
                ("text_text", inputs.text, self.text_weight_at(inputs.progress)),
            ):
                if weight:
                    term = soft_cross_entropy(scale * cosine(x, x), within, own_pair=False)
                    terms[name] = weight * term / 2
        return terms


class SoftTargets(AffinityObjective):
    """The meta-entity score S = w · (disease, adjective, direction) as soft targets at a fixed temperature.

    Q = S / τ. The score is that of https://arxiv.org/abs/2504.15929 (equation in `AffinityObjective`); spreading
    the target over the batch by it, instead of mining triplets, is ours. τ is the dial between diseases (0.1) and
    descriptors (0.015).

    Args:
        disease, adjective, direction: Weights of the score, at least 0 and not all 0.
        temperature: τ, above 0.
        cross_modal, within_modal: Which directions to keep.
        image_weight, text_weight: w_ii and w_tt, at least 0.
        max_scale: Ceiling of the learned inverse temperature.

    Raises:
        ConfigError: an option is out of range or no term is left.
    """

    def __init__(
        self,
        *,
        disease: float = 0.85,
        adjective: float = 0.10,
        direction: float = 0.05,
        temperature: float = 0.03,
        cross_modal: bool = True,
        within_modal: bool = True,
        image_weight: float = 1.0,
        text_weight: float = 1.0,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(
            cross_modal=cross_modal,
            within_modal=within_modal,
            image_weight=image_weight,
            text_weight=text_weight,
            max_scale=max_scale,
        )
        self.weights = term_weights(disease, adjective, direction)
        self.temperature = above("temperature", temperature, 0.0)

    def affinity(
        self, similarity: SimilarityTensors, contradiction: Float[Tensor, "B B"] | None, progress: float
    ) -> Float[Tensor, "B B"]:
        return torch.div(similarity.weighted(*self.weights), self.temperature)
