"""Asking an index: by text, by picture or by a study that is in it, with what agrees and what conflicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.entities import Recognizer, load_ontology
from medtrim.errors import ConfigError
from medtrim.evaluation.agreement import Agreement, compare, unmarked
from medtrim.models import load_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import NO_FILTERS, Filters
from medtrim.search.store import IndexedStudy, Neighbour, Side, StudyIndex
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions, Finding

MAX_RESULTS = 100
Recognize = Callable[[str], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A found study, its cosine similarity to the query, and how its findings stand to the query's."""

    study: IndexedStudy
    similarity: float
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query: the findings that it names (none for a picture), and the hits, best first."""

    findings: tuple[Finding, ...]
    hits: tuple[Hit, ...]


class Searcher:
    """An index with its model and recogniser. Threads may share it: the model answers one at a time."""

    def __init__(
        self,
        index: StudyIndex,
        encoder: QueryEncoder,
        recognize: Recognize,
        *,
        contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
    ) -> None:
        if encoder.dimension != index.dimension:
            raise ConfigError(f"the model makes vectors of {encoder.dimension}, the index holds {index.dimension}")
        self.index, self.encoder, self.recognize = index, encoder, recognize
        self.contradictions = contradictions
        self._lock = threading.Lock()

    @classmethod
    def open(cls, index: StudyIndex, *, device: str = "cpu") -> Searcher:
        """A searcher with the index's own model and the default ontology."""
        ontology = load_ontology()
        recognizer = Recognizer(ontology)
        encoder = QueryEncoder(load_checkpoint(index.model_folder), device=device)
        return cls(index, encoder, recognizer.annotate_text, contradictions=ontology.contradictions)

    def by_text(
        self, text: str, *, against: Side = "image", k: int = 10, filters: Filters = NO_FILTERS
    ) -> SearchResult:
        """Studies whose image (or report) is like `text`.

        Raises:
            ConfigError: the text is empty, `k` is out of range, or a filter is unknown.
        """
        if not text.strip():
            raise ConfigError("the query text is empty")
        _check(k)
        with self._lock:
            findings = tuple(self.recognize(text))
            vector = self.encoder.texts([text])[0]
        found = self.index.nearest(vector, against=against, k=k, filters=filters)
        # A query that names no finding is compared with nothing: silence in it is no statement.
        return self._result(findings if findings else None, found)

    def by_image(
        self, picture: NDArray[np.uint8], *, against: Side = "image", k: int = 10, filters: Filters = NO_FILTERS
    ) -> SearchResult:
        """Studies whose image (or report) is like the grayscale uint8 `picture` [H W]; raises as `by_text`."""
        _check(k)
        with self._lock:
            vector = self.encoder.images([picture])[0]
        return self._result(None, self.index.nearest(vector, against=against, k=k, filters=filters))

    def by_study(
        self,
        study_id: str,
        *,
        using: Side = "image",
        against: Side = "image",
        k: int = 10,
        filters: Filters = NO_FILTERS,
    ) -> SearchResult:
        """Studies like one of the index, which is left out itself.

        Raises:
            TableError: the study is not in the index.
            ConfigError: as `by_text`.
        """
        _check(k)
        query = self.index.study(study_id)
        vector = self.index.vector(study_id, using)
        found = self.index.nearest(vector, against=against, k=k, filters=filters, exclude=study_id)
        return self._result(query.findings, found)

    def _result(self, findings: tuple[Finding, ...] | None, found: list[Neighbour]) -> SearchResult:
        return SearchResult(
            findings or (), tuple(Hit(n.study, n.similarity, self._agree(findings, n)) for n in found)
        )

    def _agree(self, findings: tuple[Finding, ...] | None, neighbour: Neighbour) -> Agreement:
        theirs = neighbour.study.findings
        if findings is None:
            return Agreement(unmarked(theirs), ())
        return compare(findings, theirs, contradictions=self.contradictions)


def _check(k: int) -> None:
    if not 1 <= k <= MAX_RESULTS:
        raise ConfigError(f"the number of results must lie in 1 … {MAX_RESULTS}, not {k}")
