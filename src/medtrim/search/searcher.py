"""Asking an index: by text, by picture or by a study that is in it, with what agrees and what conflicts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.entities import Ontology, Recognizer
from medtrim.errors import ConfigError
from medtrim.evaluation.agreement import Agreement, compare, unmarked
from medtrim.models import load_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import Condition, Flag, Not, has_finding
from medtrim.search.index import check_model
from medtrim.search.ingest import arrange
from medtrim.search.query import Mode, Query, Wanted, read_query
from medtrim.search.ranking import WEIGHT, Matcher, Ranked, rank, score_lacking
from medtrim.search.readout import Reading, Readout
from medtrim.search.resident import Candidate
from medtrim.search.store import Neighbour, StudyIndex
from medtrim.search.studies import IndexedStudy
from medtrim.types import NO_FINDING, Contradictions, Finding

CANDIDATES = 100
"""Studies that are taken by similarity under each condition before they are ranked."""

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

    `more` says whether further hits follow after these (paging); `readout` what the model reads in the query's
    picture, empty where there is none or the index is not calibrated.
    """

    wanted: Wanted
    mode: Mode
    hits: tuple[Hit, ...]
    notices: tuple[Notice, ...] = ()
    more: bool = False
    readout: tuple[Reading, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that the query names."""
        return tuple(q.as_finding() for q in self.wanted.all)


class Searcher:
    """An index with its model and recogniser. Threads may share it: the model answers one at a time.

    `weight` is the share of the findings in the score of mode `both`.

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
        contradictions: Contradictions | None = None,
    ) -> None:
        if encoder.dimension != index.dimension:
            raise ConfigError(f"the model makes vectors of {encoder.dimension}, the index holds {index.dimension}")
        self._index, self.encoder, self.recognize = index, encoder, recognize
        self.readout = readout_of(index, encoder)
        self.contradictions = contradictions or index.contradictions
        self.weight = WEIGHT
        self._follows_ontology = False
        self._lock, self._reading = threading.Lock(), threading.Lock()

    @classmethod
    def open(
        cls, index: StudyIndex | Path | str, *, device: str = "cpu", ontology: Ontology | None = None
    ) -> Searcher:
        """A searcher of an index, or of the folder that holds one, with its own model and ontology.

        Another `ontology` may read the words of queries.

        Raises:
            ConfigError: the model is not the one that the index was built with.
        """
        if not isinstance(index, StudyIndex):
            index = StudyIndex(index)
        encoder = QueryEncoder(load_checkpoint(check_model(index.folder, index.facts)), device=device)
        recognizer = Recognizer(ontology or stored_ontology(index))
        searcher = cls(index, encoder, recognizer.annotate_text)
        searcher._follows_ontology = ontology is None
        return searcher

    @property
    def index(self) -> StudyIndex:
        """The index as it is published now."""
        self.reload()
        return self._index

    def reload(self) -> bool:
        """Take up what has been published in the index's folder since; whether there was anything.

        Every search does. Where the index was built anew with another model or ontology, they are taken up too. A
        large archive is read into memory beside the searches, which see the former version meanwhile.

        Raises:
            ConfigError: the model is not the one that the index was built with.
            TableError: the folder holds no index any more.
        """
        with self._lock:
            if self._index.is_current or self._reading.locked():
                return False
            index = StudyIndex(self._index.folder)
            if not self._index.is_large_in_memory:
                self._take_up(index)
                return True
            self._reading.acquire()
            threading.Thread(target=self._read_beside, args=(index,), daemon=True).start()
            return False

    def _read_beside(self, index: StudyIndex) -> None:
        try:
            index.follow(self._index)
            with self._lock:
                self._take_up(index)
        finally:
            self._reading.release()

    def _take_up(self, index: StudyIndex) -> None:
        before = self._index.facts
        if index.facts["fingerprint"] != before["fingerprint"]:
            model = load_checkpoint(check_model(index.folder, index.facts))
            self.encoder = QueryEncoder(model, device=str(self.encoder.device))
        if self._follows_ontology and index.facts["ontology"] != before["ontology"]:
            self.recognize = Recognizer(stored_ontology(index)).annotate_text
        if index.facts["contradictions"] != before["contradictions"]:
            self.contradictions = index.contradictions
        if index.facts.get("readout") != before.get("readout") or index.facts["table"] != before["table"]:
            self.readout = readout_of(index, self.encoder)
        index.follow(self._index)
        self._index = index

    def search(self, query: Query) -> SearchResult:
        """The studies that answer `query`, best first; equal scores are ordered by study id.

        Candidates are the studies most similar among those that have all must-haves (or, of a report, all that it
        states), among those that have the first of them, and among all; then they are ranked (see `ranking.rank`).
        The later ones are left out where none of them could be among the hits.

        Raises:
            ConfigError: the query asks for nothing, an option is out of range, or a filter is unknown.
            TableError: the query's study is not in the index.
            RecordError: the model gives the query no finite vector.

        Examples:
            >>> searcher.search(Query("pleural effusion, no cardiomegaly", k=5)).hits
        """
        query.check()
        self.reload()
        asked = copy(self)  # stays with one version of the index
        try:
            return asked._answer(query)
        except (OSError, RuntimeError):
            self.reload()
            with self._reading:  # what is being read into memory is there
                pass
            if self._index is asked._index:
                raise
            return copy(self)._answer(query)  # the files of the former version are gone

    def _answer(self, query: Query) -> SearchResult:
        picture = self._picture(query)
        said = self._said(query)
        wanted = self._understand(query, said)
        vector, cut = self._vector(query, picture, said)
        ranked, closest = self._ranked(query, wanted, vector)
        if query.one_per_patient:
            ranked = first_of_each_patient(ranked)
        shown = ranked[query.offset : query.offset + query.k]
        studies = self._index.studies_at([r.study.row for r in shown])
        return SearchResult(
            wanted,
            query.mode,
            tuple(self._hit(r, study, wanted) for r, study in zip(shown, studies, strict=True)),
            self._notices(query, wanted, shown, closest=closest, cut=cut),
            len(ranked) > query.offset + query.k,
            self.readout.read(picture) if self.readout and query.image is not None and picture is not None else (),
        )

    def _ranked(self, query: Query, wanted: Wanted, vector: Vector) -> tuple[list[Ranked], float]:
        """The candidates, best first, and the similarity of the closest; see `search` for which are taken."""
        last = query.offset + query.k
        depth = max(CANDIDATES, last + 1)
        asked = self._index.compare(
            vector, against=query.against, filters=query.filters, exclude=query.study_id, exact=query.exact
        )
        found: dict[int, Neighbour] = {}
        ranked: list[Ranked] = []
        matcher = Matcher(self.contradictions)
        limit = score_lacking(wanted, query.mode, weight=self.weight)
        tiers = self._tiers(query, wanted)
        seen = self._sees(wanted)
        if seen is not None and len(tiers) > 1:
            tiers[0:0] = [[Not(Flag("read"))]]
        for conditions in tiers:
            found |= {n.study.row: n for n in asked.nearest(conditions, depth)}
            ranked = rank(
                list(found.values()),
                wanted,
                mode=query.mode,
                matcher=matcher,
                weight=self.weight,
                seen=seen,
            )
            if len(ranked) > last and ranked[last].score >= limit and not query.one_per_patient:
                break
        return ranked, max((n.similarity for n in found.values()), default=-1.0)

    def _sees(self, wanted: Wanted) -> Callable[[Candidate], float | None] | None:
        """What the model sees in a study that is not read of what is asked for, where it is calibrated."""
        readout, index = self.readout, self._index
        if readout is None or not index.facts["counts"].get("read", {}).get("false"):
            return None

        def seen(study: Candidate) -> float | None:
            vector = index.image_vector(study.row)
            if vector is None:
                return None
            matches = [readout.match(q, vector) for q in wanted.all]
            known = [m for m in matches if m is not None]
            return sum(known) / len(known) if known and len(known) == len(matches) else None

        return seen

    def _tiers(self, query: Query, wanted: Wanted) -> list[list[Condition]]:
        """Conditions that candidates are taken under, the strictest first."""
        denied: list[Condition] = [
            Not(has_finding(q.disease, q.descriptors, contradictions=self.contradictions))
            for q in wanted.must_not
            if sum(self.contradictions.levels(a, q.descriptors) != frozenset() for a in self.contradictions.axes)
            < 2
        ]
        stated = [q for q in (*wanted.must, *wanted.like) if not q.denied and q.disease != NO_FINDING]
        if query.mode == "embedding" or not stated:
            return [denied]
        has = [has_finding(q.disease, q.descriptors, contradictions=self.contradictions) for q in stated]
        strictest = [*has, *denied]
        return [strictest, denied] if len(has) == 1 else [strictest, [has[0], *denied], denied]

    def understand(self, query: Query) -> Wanted:
        """The findings that `query` asks for: those given, else what is read from its text or its study."""
        self.reload()
        reader = copy(self)
        return reader._understand(query, reader._said(query))

    def _said(self, query: Query) -> tuple[Finding, ...]:
        """What is recognised in the query's words."""
        if not query.text.strip():
            return ()
        with self._lock:
            return tuple(self.recognize(query.text))

    def _understand(self, query: Query, said: Sequence[Finding]) -> Wanted:
        read = Wanted()
        if query.text.strip():
            read = read_query(query.text, said, contradictions=self.contradictions)
        elif query.study_id:
            findings = self._index.study(query.study_id).findings
            like = read_query("", findings, contradictions=self.contradictions)
            read = Wanted(like=like.all)
        return Wanted(
            read.must if query.must is None else query.must,
            read.must_not if query.must_not is None else query.must_not,
            read.like if query.like is None else query.like,
        )

    def _picture(self, query: Query) -> Vector | None:
        """The unit vector [D] of the query's picture or study; None where it has words alone."""
        if query.study_id:
            return self._index.vector(query.study_id, query.using)
        if query.image is None:
            return None
        with self._lock:
            picture: Vector = self.encoder.images([query.image])[0]
            return picture

    def _vector(self, query: Query, picture: Vector | None, said: Sequence[Finding]) -> tuple[Vector, bool]:
        """The query's unit vector [D] (of picture and words, their weighted mean), and whether its text was cut."""
        if picture is not None and not query.text.strip():
            return picture, False
        with self._lock:
            text = self.encoder.as_read(query.text, said or None)
            cut = self.encoder.is_cut(text)
            if cut and text == query.text:
                spans = [("", m.start) for f in said for m in f.mentions if m.role == "disease"]
                text = " ".join(arrange({"": text}, spans))
            words: Vector = self.encoder.text(text)
        if picture is None:
            return words, cut
        mixed = query.image_weight * picture + (1 - query.image_weight) * words
        return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), dtype=np.float32), cut

    def _hit(self, ranked: Ranked, study: IndexedStudy, wanted: Wanted) -> Hit:
        theirs = study.findings
        # A query that names no finding is compared with nothing: silence in it is no statement.
        agreement = Agreement(unmarked(theirs) if study.read else (), ())
        if wanted and theirs:
            ours = tuple(q.as_finding() for q in wanted.all)
            agreement = compare(ours, theirs, contradictions=self.contradictions)
        return Hit(study, ranked.score, ranked.similarity, ranked.match, ranked.fulfils, agreement)

    def _notices(
        self, query: Query, wanted: Wanted, shown: Sequence[Ranked], *, closest: float, cut: bool
    ) -> tuple[Notice, ...]:
        found = []
        if query.text.strip() and not wanted:
            found.append(Notice("unread query", "no finding is recognised in the words: similarity alone ranks"))
        if cut:
            limit = self.encoder.bundle.max_tokens
            found.append(
                Notice(
                    "text cut", f"the text is longer than the model's {limit} tokens: sentences with findings first"
                )
            )
        lacking = sum(not r.fulfils for r in shown)
        if lacking and query.mode != "embedding":
            found.append(Notice("few fulfil", f"{lacking} of {len(shown)} hits lack something that was asked for"))
        using = "image" if query.image is not None else query.using if query.study_id else "text"
        noise = self._index.facts["noise"].get(f"{using}>{query.against}")
        mixed = bool(query.text.strip()) and using != "text"
        if noise is not None and not mixed and shown and closest < noise:
            found.append(Notice("weak match", f"no hit is more similar than unrelated studies are ({noise:.2f})"))
        return tuple(found)


def readout_of(index: StudyIndex, encoder: QueryEncoder) -> Readout | None:
    """What reads pictures with the index's model, where it was calibrated."""
    calibration = index.facts.get("readout")
    return Readout(calibration, encoder) if calibration else None


def stored_ontology(index: StudyIndex) -> Ontology:
    """The ontology that the index's findings were read by."""
    return Ontology(json.loads((index.folder / index.facts["ontology"]).read_text(encoding="utf-8")))


def first_of_each_patient(ranked: Sequence[Ranked]) -> list[Ranked]:
    """The best of each patient's studies; a study without a patient is a patient of its own."""
    best: dict[str, Ranked] = {}
    for row in ranked:
        best.setdefault(row.study.patient_id or f"study {row.study.study_id}", row)
    return list(best.values())
