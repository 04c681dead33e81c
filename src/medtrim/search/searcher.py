"""Asking an index: by text, by picture or by a study that is in it, with what agrees and what conflicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.entities import Recognizer, load_ontology
from medtrim.errors import ConfigError
from medtrim.evaluation.agreement import Agreement, compare, unmarked
from medtrim.models import load_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.query import Mode, Query, Wanted, read_query
from medtrim.search.ranking import Ranked, rank
from medtrim.search.store import IndexedStudy, StudyIndex
from medtrim.types import DEFAULT_CONTRADICTIONS, Contradictions, Finding

CANDIDATES = 200
Recognize = Callable[[str], Sequence[Finding]]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """A found study and why it stands where it does.

    Args:
        study: its id, report, findings (with the character offsets of their evidence) and stored columns.
        score: what the hits are ordered by, in the query's mode; larger is better.
        similarity: cosine of the embeddings, in [-1, 1].
        match: how far its findings are those asked for, in [0, 1]; None where nothing is asked for or its report
            is not read.
        fulfils: whether it has all that the query must have; True where the query demands nothing.
        agreement: its findings, marked by how each stands to the query's.
    """

    study: IndexedStudy
    score: float
    similarity: float
    match: float | None
    fulfils: bool
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader of the hits should know; `code` names its kind, `text` says it."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query: how it was understood, and the hits, best first.

    `more` says whether further hits follow after these (paging).
    """

    wanted: Wanted
    mode: Mode
    hits: tuple[Hit, ...]
    notices: tuple[Notice, ...] = ()
    more: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that the query names."""
        return tuple(q.as_finding() for q in self.wanted.all)


class Searcher:
    """An index with its model and recogniser. Threads may share it: the model answers one at a time.

    Examples:
        >>> import medtrim
        >>> searcher = medtrim.Searcher.open("index")
        >>> found = searcher.search(medtrim.Query("large left pleural effusion", k=3))
        >>> len(found.hits), found.wanted.must[0].disease if found.wanted.must else found.wanted.like[0].disease
        (3, 'pleural effusion')
    """

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
    def open(cls, index: StudyIndex | Path | str, *, device: str = "cpu") -> Searcher:
        """A searcher of an index, or of the folder that holds one, with its own model and the default ontology."""
        if not isinstance(index, StudyIndex):
            index = StudyIndex(index)
        ontology = load_ontology()
        recognizer = Recognizer(ontology)
        encoder = QueryEncoder(load_checkpoint(index.model_folder), device=device)
        return cls(index, encoder, recognizer.annotate_text, contradictions=ontology.contradictions)

    def search(self, query: Query) -> SearchResult:
        """The studies that answer `query`, best first; equal scores are ordered by study id.

        Raises:
            ConfigError: the query asks for nothing, an option is out of range, or a filter is unknown.
            TableError: the query's study is not in the index.
            RecordError: the model gives the query no finite vector.

        Examples:
            >>> searcher.search(Query("pleural effusion, no cardiomegaly", k=5)).hits
        """
        query.check()
        wanted = self.understand(query)
        vector = self._vector(query)
        found = self.index.nearest(
            vector,
            against=query.against,
            k=max(CANDIDATES, query.offset + query.k + 1),
            filters=query.filters,
            exclude=query.study_id,
        )
        ranked = rank(found, wanted, mode=query.mode, contradictions=self.contradictions)
        shown = ranked[query.offset : query.offset + query.k]
        return SearchResult(
            wanted,
            query.mode,
            tuple(self._hit(r, wanted) for r in shown),
            self._notices(query, wanted),
            len(ranked) > query.offset + query.k,
        )

    def understand(self, query: Query) -> Wanted:
        """The findings that `query` asks for: those given, else what is read from its text or its study."""
        read = Wanted()
        if query.text.strip():
            with self._lock:
                findings = tuple(self.recognize(query.text))
            read = read_query(query.text, findings, contradictions=self.contradictions)
        elif query.study_id:
            findings = self.index.study(query.study_id).findings
            like = read_query("", findings, contradictions=self.contradictions)
            read = Wanted(like=like.all)
        return Wanted(
            read.must if query.must is None else query.must,
            read.must_not if query.must_not is None else query.must_not,
            read.like if query.like is None else query.like,
        )

    def _vector(self, query: Query) -> Vector:
        """The query's unit vector [D]; of picture and words, their weighted mean."""
        picture: Vector | None = None
        if query.study_id:
            picture = self.index.vector(query.study_id, query.using)
        elif query.image is not None:
            with self._lock:
                picture = self.encoder.images([query.image])[0]
        if picture is not None and not query.text.strip():
            return picture
        with self._lock:
            words: Vector = self.encoder.texts([query.text])[0]
        if picture is None:
            return words
        mixed = query.image_weight * picture + (1 - query.image_weight) * words
        return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), dtype=np.float32)

    def _hit(self, ranked: Ranked, wanted: Wanted) -> Hit:
        theirs = ranked.study.findings
        # A query that names no finding is compared with nothing: silence in it is no statement.
        agreement = Agreement(unmarked(theirs) if ranked.study.read else (), ())
        if wanted and theirs:
            ours = tuple(q.as_finding() for q in wanted.all)
            agreement = compare(ours, theirs, contradictions=self.contradictions)
        return Hit(ranked.study, ranked.score, ranked.similarity, ranked.match, ranked.fulfils, agreement)

    def _notices(self, query: Query, wanted: Wanted) -> tuple[Notice, ...]:
        if query.text.strip() and not wanted:
            return (Notice("unread query", "no finding is recognised in the words: similarity alone ranks"),)
        return ()
