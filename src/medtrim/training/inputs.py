"""What the objective is told about a batch besides the embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medtrim.errors import ConfigError
from medtrim.mining.batch import BatchConfig, mine_batch
from medtrim.mining.conflicts import ConflictFinder
from medtrim.mining.similarity import EncodedStudies, score_matrix, similarity_terms
from medtrim.objectives import Objective, SimilarityTensors
from medtrim.training.concepts import ConceptTable, concept_table
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BatchKnowledge:
    """What the objective wants to know of a batch: similarities, contradictions, triplets, labels, concepts."""

    similarity: SimilarityTensors | None = None
    contradiction: Tensor | None = None
    triplets: Tensor | None = None
    labels: Tensor | None = None
    affirmed: Tensor | None = None


@dataclass(slots=True)
class CorpusKnowledge:
    """Looks a batch's knowledge up in what is known about the training studies.

    Args:
        needs: `Objective.needs`.
        encoded: annotations of the training studies, row by row.
        triplets: the triplets table's rows; without it triplets are mined in the batch.
        mining: how.
        seed: of the draw where a batch admits more triplets than are kept.
        contradictions: of descriptors, as the annotations' ontology has them.
    """

    needs: frozenset[str]
    encoded: EncodedStudies | None
    triplets: TripletIndex | None
    mining: BatchConfig
    seed: int
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS
    _conflicts: ConflictFinder | None = field(default=None, init=False)
    _labels: NDArray[np.float32] | None = field(default=None, init=False)
    concepts: ConceptTable | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Raises ConfigError where the objective wants what no table gives."""
        if self.encoded is None and self.needs & {"similarity", "contradiction", "labels", "concepts"}:
            raise ConfigError("the objective compares annotations: data.annotations must name their table")
        if self.triplets is None and self.encoded is None and "triplets" in self.needs:
            raise ConfigError(
                "the objective uses triplets: data.triplets must name their table, or data.annotations that of the "
                "annotations to mine them from in each batch"
            )
        if self.encoded is not None and "labels" in self.needs:
            self._labels = self.encoded.has[self.encoded.inverse].astype(np.float32)
        if self.encoded is not None and "concepts" in self.needs:
            self.concepts = concept_table(self.encoded)
        if self.encoded is not None and "contradiction" in self.needs and self.contradictions.axes:
            self._conflicts = ConflictFinder(self.encoded, self.contradictions)

    def of(self, rows: Rows, device: torch.device, *, index: int = 0) -> BatchKnowledge:
        """What the objective needs to know of the studies `rows` [B] of batch number `index`."""
        similarity = contradiction = triplets = labels = None
        if "similarity" in self.needs and self.encoded is not None:
            terms = similarity_terms(self.encoded, rows, rows)
            similarity = SimilarityTensors(
                disease=_tensor(terms.disease, device),
                adjective=_tensor(terms.adjective, device),
                direction=_tensor(terms.direction, device),
            )
        if "contradiction" in self.needs:
            contradiction = _tensor(self._contradicting(rows), device)
        if "triplets" in self.needs:
            triplets = torch.from_numpy(self._triplets(rows, index)).to(device)
        if self._labels is not None:
            labels = _tensor(self._labels[rows], device)
        affirmed = None
        if self.concepts is not None and self.encoded is not None:
            affirmed = _tensor(self.concepts.target[self.encoded.inverse[rows]], device)
        return BatchKnowledge(similarity, contradiction, triplets, labels, affirmed)

    def _contradicting(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of the studies contradict each other [B B]; none where the ontology names no contradiction."""
        if self.encoded is None or self._conflicts is None:
            return np.zeros((len(rows), len(rows)), bool)
        distinct = self.encoded.inverse[rows]
        return self._conflicts.block(distinct, distinct)

    def _triplets(self, rows: Rows, index: int) -> Rows:
        if self.triplets is not None:
            return self.triplets.within(rows)
        if self.encoded is None:
            return np.empty((0, 3), dtype=np.int64)
        # The generator is the batch's own, so that a resumed run draws the same.
        rng = np.random.default_rng([self.seed, index])
        mined = mine_batch(score_matrix(self.encoded, rows, rows), self.mining, rng=rng)
        return mined.indices.astype(np.int64)


def corpus_knowledge(
    objective: Objective,
    encoded: EncodedStudies | None,
    triplets: Rows | None,
    *,
    count: int,
    mining: BatchConfig,
    seed: int,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
) -> CorpusKnowledge:
    """Knowledge for `objective` about `count` studies from their annotations and triplets (int [T 3], their rows).

    `contradictions` are those of the ontology that the annotations were made with.

    Raises:
        ConfigError: the objective needs a table that is not given.
    """
    index = None if triplets is None else TripletIndex(triplets, count)
    return CorpusKnowledge(frozenset(objective.needs), encoded, index, mining, seed, contradictions)


def _tensor(values: NDArray[np.floating] | NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


class TripletIndex:
    """Finds the triplets whose three studies are all in a batch.

    Args:
        triplets: int [T 3], rows of studies (anchor, positive, negative).
        count: N, number of studies.
    """

    def __init__(self, triplets: Rows, count: int) -> None:
        order = np.argsort(triplets[:, 0], kind="stable")
        self._sorted = triplets[order]
        self._starts = np.searchsorted(self._sorted[:, 0], np.arange(count + 1))
        self._count = count

    def within(self, rows: Rows) -> Rows:
        """Positions in the batch `rows` [B] of the triplets within it: int [T' 3], by anchor, then table order."""
        position = np.full(self._count, -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        spans = [np.arange(self._starts[r], self._starts[r + 1]) for r in rows]
        candidates = position[self._sorted[np.concatenate(spans)]] if spans else np.empty((0, 3), dtype=np.int64)
        return candidates[(candidates >= 0).all(axis=1)].reshape(-1, 3)
