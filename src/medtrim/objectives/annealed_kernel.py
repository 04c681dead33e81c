"""MedTrim's soft-target recipe: a kernel on the meta-entity similarities that sharpens as training goes on."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.objectives.checks import above, at_least, within
from medtrim.objectives.concepts import ConceptTerm
from medtrim.objectives.inputs import ObjectiveInputs, SimilarityTensors
from medtrim.objectives.soft_targets import AffinityObjective, term_weights

# What `trained_start` makes of the weights of the terms within a modality, and of β.
TRAINED_WITHIN, TRAINED_SHARPNESS = 0.15, 2.5


def sharpness(progress: float, *, start: float, until: float) -> float:
    """start^(1 − min(1, progress / until)): from `start` to 1, geometrically; always 1 where `until` is 0."""
    return start ** (1 - min(1.0, progress / until)) if until else 1.0


class AnnealedKernel(AffinityObjective):
    """MedTrim's default: soft targets from an annealed, contradiction-aware kernel on the meta-entity similarities.

        Q = g_dis · k_dis · J(D) + g · (k_adj · J̄(A) + k_dir · J̄(L) − k_con · C)
        Q′ = β · [Q + (ω − 1) · g_dis · k_dis · J(D)]
        g = start^(1 − min(1, progress / until)),     g_dis likewise from `disease_start`

    in the loss of `AffinityObjective`. The similarities are those of https://arxiv.org/abs/2504.15929; the kernel
    is ours. C is 1 where two studies share a disease and contradict each other in its side, zone or severity: the
    Jaccard index cannot tell *large* against *small* from *large* against nothing said, C can. Within a modality
    the kernel is broader (β below 1) and more about diseases (ω above 1): one modality's embeddings are to be
    ordered by likeness, not to be told apart study by study.

    Args:
        disease, adjective, direction: k, at least 0 and not all 0.
        contradiction: k_con, at least 0; at 0 the batch's contradictions are not needed.
        anneal_start: g of the descriptors at the start, in (0, 1]; 1 does not anneal.
        disease_start: g of the diseases at the start, above 0; above 1 their weight falls as training goes on.
        anneal_until: Share of training after which both are 1.
        cross_modal, within_modal: Which directions to keep.
        image_weight, text_weight: w_ii and w_tt, at least 0.
        within_sharpness: β, above 0.
        within_disease: ω, at least 0; at 1 diseases weigh within a modality what they weigh across.
        text_start: w_tt at the start, at least 0; it goes to `text_weight` linearly until `anneal_until`.
        trained_start: Whether the encoders were aligned before, by InfoNCE say: nothing is annealed (`anneal_until`
            counts as 0), the terms within a modality weigh 0.15 times as much and their targets are 2.5 times as
            sharp, so that what the encoders tell apart already stays apart.
        concepts: Weight of `ConceptTerm`, at least 0: the image also predicts, through captions, what the
            recogniser read in the report, disease by side, zone and severity.
        prior_correction: λ, in [0, 1]: how far images rank reports by how probable their annotation is, and not by
            how much more probable than on average. At 0 normal images find rare findings before normal reports.
        max_scale: Ceiling of the learned inverse temperature.

    Raises:
        ConfigError: an option is out of range or no term is left.
    """

    def __init__(
        self,
        *,
        disease: float = 14.0,
        adjective: float = 14.0,
        direction: float = 18.0,
        contradiction: float = 15.0,
        anneal_start: float = 0.3,
        disease_start: float = 0.6,
        anneal_until: float = 0.7,
        cross_modal: bool = True,
        within_modal: bool = True,
        image_weight: float = 1.0,
        text_weight: float = 1.0,
        within_sharpness: float = 0.2,
        within_disease: float = 1.75,
        text_start: float = 1.0,
        trained_start: bool = False,
        concepts: float = 0.0,
        prior_correction: float = 0.5,
        max_scale: float = 100.0,
    ) -> None:
        share = TRAINED_WITHIN if trained_start else 1.0
        super().__init__(
            cross_modal=cross_modal,
            within_modal=within_modal,
            image_weight=share * image_weight,
            text_weight=share * text_weight,
            max_scale=max_scale,
            prior_correction=prior_correction,
        )
        self.weights = term_weights(disease, adjective, direction)
        self.contradiction = at_least("contradiction", contradiction, 0.0)
        sharper = TRAINED_SHARPNESS if trained_start else 1.0
        self.within_sharpness = sharper * above("within_sharpness", within_sharpness, 0.0)
        self.within_disease = at_least("within_disease", within_disease, 0.0)
        self.anneal_start = within("anneal_start", anneal_start, 0.0, 1.0)
        self.anneal_until = 0.0 if trained_start else within("anneal_until", anneal_until, 0.0, 1.0)
        self.text_start = at_least("text_start", text_start, 0.0)
        self.disease_start = above("disease_start", disease_start, 0.0)
        if not anneal_start:
            raise ConfigError("anneal_start must be above 0")
        if contradiction:
            self.needs = self.needs | {"contradiction"}
        self.concepts = at_least("concepts", concepts, 0.0)
        if concepts:
            self.needs = self.needs | {"concepts"}
            self.concept_term = ConceptTerm()

    def weighted_terms(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        terms = super().weighted_terms(inputs)
        if self.concepts and inputs.concepts is not None:  # `forward` has refused a batch without them
            terms["concepts"] = self.concepts * self.concept_term(inputs.image, inputs.concepts)
        return terms

    def text_weight_at(self, progress: float) -> float:
        left = 1 - min(1.0, progress / self.anneal_until) if self.anneal_until else 0.0
        return self.text_weight + (self.text_start - self.text_weight) * left

    def affinity(
        self, similarity: SimilarityTensors, contradiction: Float[Tensor, "B B"] | None, progress: float
    ) -> Float[Tensor, "B B"]:
        _, adjective, direction = self.weights
        g = sharpness(progress, start=self.anneal_start, until=self.anneal_until)
        affinity = similarity.weighted(self._disease_at(progress), g * adjective, g * direction)
        if not self.contradiction or contradiction is None:
            return affinity
        return affinity - g * self.contradiction * contradiction

    def affinity_within(
        self, affinity: Float[Tensor, "B B"], similarity: SimilarityTensors, progress: float
    ) -> Float[Tensor, "B B"]:
        more = (self.within_disease - 1) * self._disease_at(progress)
        return self.within_sharpness * (affinity + more * similarity.disease)

    def _disease_at(self, progress: float) -> float:
        """g_dis · k_dis."""
        return self.weights[0] * sharpness(progress, start=self.disease_start, until=self.anneal_until)
