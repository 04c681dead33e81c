"""What every alignment objective takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from medtrim.errors import TrainingError

Need = Literal["similarity", "contradiction", "triplets", "labels", "local", "views", "concepts"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimilarityTensors:
    """How alike the studies of a batch are, term by term, as `mining.similarity` works them out; all in [0, 1].

    Row = anchor, column = reference. The descriptor terms are mean Jaccard indices over the anchor's (or the
    union's) diseases and 0 for normal anchors, so that the meta-entity score is
    `w · (disease, adjective, direction)`.
    """

    disease: Float[Tensor, "B B"]
    adjective: Float[Tensor, "B B"]
    direction: Float[Tensor, "B B"]

    def weighted(self, disease: float, adjective: float, direction: float) -> Float[Tensor, "B B"]:
        """disease · J(D) + adjective · J̄(A) + direction · J̄(L)."""
        return disease * self.disease + adjective * self.adjective + direction * self.direction


@dataclass(frozen=True, kw_only=True, eq=False)
class ConceptTensors:
    """What reports say, asked of images by captions: each concept has one that affirms it and one that denies it.

    Attributes:
        positive: Text embedding of a caption such as "opacity in the left lower zone".
        negative: Of one such as "the left lower zone is clear".
        target: How far each study's report affirms the concept, in [0, 1].
        weight: Of each concept, at least 0.
    """

    positive: Float[Tensor, "K D"]
    negative: Float[Tensor, "K D"]
    target: Float[Tensor, "B K"]
    weight: Float[Tensor, " K"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectiveInputs:
    """One batch: B distinct studies, each encoded once, and what is known about them.

    Attributes:
        image: Image embeddings, raw or unit length; objectives normalise them.
        text: Text embeddings of the same studies, in the same order.
        log_scale: Natural logarithm of the learned inverse temperature.
        progress: Share of the training done, in [0, 1]; drives annealing.
        similarity: Meta-entity similarities within the batch.
        contradiction: 1 where two studies share a disease but contradict each other in a descriptor of it (its
            side, zone or severity), else 0.
        triplets: Rows (anchor, positive, negative) of indices into the batch.
        margins: One hinge margin a triplet; without it an objective's own margin holds.
        labels: Multi-hot disease labels; the row of a normal study is all 0.
        image_local: Patch or region features in a space shared with the tokens.
        text_local: Token features in that space.
        text_mask: True (or 1) where a token is a word of the report, False at padding and special tokens.
        image_view: Embeddings of a second image (or augmentation) of each study.
        text_view: Embeddings of a second text (such as the impression) of each study.
        concepts: What the reports say, with captions that say it.
    """

    image: Float[Tensor, "B D"]
    text: Float[Tensor, "B D"]
    log_scale: Float[Tensor, ""]
    progress: float = 0.0
    similarity: SimilarityTensors | None = None
    contradiction: Float[Tensor, "B B"] | None = None
    triplets: Int[Tensor, "T 3"] | None = None
    margins: Float[Tensor, "T"] | None = None
    labels: Tensor | None = None
    image_local: Float[Tensor, "B M E"] | None = None
    text_local: Float[Tensor, "B W E"] | None = None
    text_mask: Tensor | None = None
    image_view: Float[Tensor, "B D"] | None = None
    text_view: Float[Tensor, "B D"] | None = None
    concepts: ConceptTensors | None = None

    def __post_init__(self) -> None:
        """Raises TrainingError where shapes contradict each other."""
        if self.image.ndim != 2 or self.image.shape != self.text.shape or not len(self.image):
            received = f"{tuple(self.image.shape)} and {tuple(self.text.shape)}"
            raise TrainingError(f"image and text embeddings must both be [B D] with B > 0; received {received}")
        if not 0 <= self.progress <= 1:
            raise TrainingError(f"progress must lie in [0, 1]; received {self.progress}")
        batch = len(self.image)
        square = None if self.similarity is None else self.similarity.disease
        for name, value, first in (
            ("similarity", square, batch),
            ("contradiction", self.contradiction, batch),
            ("labels", self.labels, batch),
            ("image_local", self.image_local, batch),
            ("text_local", self.text_local, batch),
            ("text_mask", self.text_mask, batch),
            ("image_view", self.image_view, batch),
            ("text_view", self.text_view, batch),
            ("concepts", None if self.concepts is None else self.concepts.target, batch),
            ("margins", self.margins, 0 if self.triplets is None else len(self.triplets)),
        ):
            if value is not None and len(value) != first:
                raise TrainingError(f"{name} must have {first} rows; received {tuple(value.shape)}")
        if self.triplets is not None and (self.triplets.ndim != 2 or self.triplets.shape[1] != 3):
            raise TrainingError(f"triplets must be [T 3]; received {tuple(self.triplets.shape)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectiveOutput:
    """A loss and the terms it is made of.

    Attributes:
        total: What to minimise; a scalar, always differentiable (0 where the batch has nothing to compare).
        terms: The weighted terms by name, each a scalar; they add up to `total`.
        facts: Figures worth logging that are no part of the loss (detached), such as the share of active triplets.
    """

    total: Float[Tensor, ""]
    terms: dict[str, Tensor]
    facts: dict[str, Tensor] = field(default_factory=dict)
