"""What a loss needs to know of a batch of studies, looked up by study id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medtrim.entities import Ontology
from medtrim.errors import ConfigError, TableError
from medtrim.library.reports import ReportSource, annotate
from medtrim.library.scores import score_config
from medtrim.mining.batch import BatchConfig
from medtrim.mining.similarity import encode_studies
from medtrim.objectives import SimilarityTensors
from medtrim.training.inputs import BatchKnowledge, CorpusKnowledge
from medtrim.types.sources import AnnotationSource, load_annotations
from medtrim.types.tables import shown_ids

T = TypeVar("T")
ALL_NEEDS = frozenset({"similarity", "contradiction", "triplets", "labels"})


class FindingTargets:
    """The findings of a corpus as targets of a loss: `targets[study_ids]` are those of a batch.

    A batch is named by study ids, never by positions. `MedTrimLoss` and the other losses take `targets[study_ids]`,
    or the whole `targets` where they were made of the batch's own reports.

    Args:
        annotations: an annotations table, its path, or records.
        score: as `medtrim.score_matrix` takes it; its mode and weights decide which triplets a batch admits.
        seed: of the draw where a batch admits more triplets than the loss keeps.

    Raises:
        TableError: an id repeats. ConfigError: an unknown key of `score`.

    Examples:
        >>> import medtrim
        >>> reports = ["Small left effusion.", "Large left effusion.", "Clear."]
        >>> found = medtrim.annotate(reports, study_ids=["a", "b", "c"])
        >>> targets = medtrim.FindingTargets.from_annotations(found)
        >>> batch = targets[["c", "a"]]
        >>> batch.similarity().disease.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        >>> len(medtrim.FindingTargets.from_reports(["Left effusion.", "Right effusion."]))
        2
    """

    def __init__(
        self, annotations: AnnotationSource, *, score: Mapping[str, Any] | None = None, seed: int = 0
    ) -> None:
        loaded = load_annotations(annotations)
        self._encoded = encode_studies(loaded.annotations, score_config(score))
        self._contradictions, self._seed = loaded.contradictions, seed
        self._knowledge: dict[frozenset[str], CorpusKnowledge] = {}
        self._row = {study_id: row for row, study_id in enumerate(loaded.study_ids)}

    @classmethod
    def from_annotations(
        cls, annotations: AnnotationSource, *, score: Mapping[str, Any] | None = None, seed: int = 0
    ) -> FindingTargets:
        """Targets of annotated studies; arguments of the class."""
        return cls(annotations, score=score, seed=seed)

    @classmethod
    def from_reports(
        cls,
        reports: ReportSource,
        *,
        study_ids: Iterable[Any] | None = None,
        ontology: Ontology | None = None,
        score: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> FindingTargets:
        """Targets read from report texts (`medtrim.annotate` has the arguments), such as those of one batch."""
        return cls(annotate(reports, study_ids=study_ids, ontology=ontology), score=score, seed=seed)

    @property
    def study_ids(self) -> tuple[str, ...]:
        """All studies, in the order of the annotations or reports."""
        return self._encoded.study_ids

    @property
    def diseases(self) -> tuple[str, ...]:
        """Columns of a batch's `labels`."""
        return self._encoded.config.diseases

    def __len__(self) -> int:
        return len(self._encoded)

    def __repr__(self) -> str:
        return f"<FindingTargets of {len(self)} studies>"

    def __getitem__(self, study_ids: Sequence[str]) -> BatchTargets:
        """The targets of a batch, in the order of `study_ids`.

        Raises:
            TableError: an entry is no text or not among the studies.
        """
        if isinstance(study_ids, str):
            raise TableError("targets[study_ids] takes the list of a batch's study ids, not one text")
        ids = list(study_ids)
        odd = next((i for i in ids if not isinstance(i, str)), None)
        if odd is not None:
            raise TableError(
                f"targets are looked up by study id, a text; received {type(odd).__name__}. Positions are refused: "
                "those in a table, in a split and in a batch differ"
            )
        unknown = [i for i in ids if i not in self._row]
        if unknown:
            raise TableError(
                f"{len(unknown)} of {len(ids)} studies are not among the targets: {shown_ids(unknown)}"
            )
        return BatchTargets(tuple(ids), np.array([self._row[i] for i in ids], np.int64), self)

    def knowledge(self, needs: Iterable[str]) -> CorpusKnowledge:
        """The look-up behind the batches, for an objective that `needs` these inputs."""
        wanted = ALL_NEEDS & frozenset(needs)
        if wanted not in self._knowledge:
            self._knowledge[wanted] = CorpusKnowledge(
                wanted, self._encoded, None, BatchConfig(), self._seed, self._contradictions
            )
        return self._knowledge[wanted]


@dataclass(frozen=True, eq=False)
class BatchTargets:
    """The targets of a batch of B studies, made by `FindingTargets[study_ids]`; tensors on the device asked for.

    Attributes:
        study_ids: of the batch, in its order.
    """

    study_ids: tuple[str, ...]
    _rows: NDArray[np.int64]
    _targets: FindingTargets

    def __len__(self) -> int:
        return len(self.study_ids)

    def known(self, needs: Iterable[str], device: torch.device | str = "cpu") -> BatchKnowledge:
        """What an objective `needs`: similarity, contradiction, triplets (mined in the batch), labels."""
        return self._targets.knowledge(needs).of(self._rows, torch.device(device))

    def similarity(self, device: torch.device | str = "cpu") -> SimilarityTensors:
        """The terms of the score, each [B, B] in [0, 1]; rows are anchors."""
        return _given(self.known({"similarity"}, device).similarity)

    def labels(self, device: torch.device | str = "cpu") -> Tensor:
        """Which counted disease each study has, float [B, diseases]; columns are `FindingTargets.diseases`."""
        return _given(self.known({"labels"}, device).labels)


def _given(value: T | None) -> T:
    """`value`, which annotations always give."""
    if value is None:
        raise ConfigError("the targets hold no annotations")
    return value
