"""Example rankings: queries, the first answers of every method, and their findings against the query's."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medtrim.evaluation import DIRECTION_NAMES, Embeddings, Reference, make_reference
from medtrim.evaluation.agreement import FindingMark, compare, disease_states, unmarked
from medtrim.evaluation.ranking import unit
from medtrim.evaluation.retrieval import top_studies
from medtrim.types import DISEASES, NO_FINDING, Annotation, Contradictions, Finding, Study

Picture = NDArray[np.uint8]
TOP = 5
SIDE = 192
# Directions of the queries that are drawn at random, repeated until there are enough.
DRAWN = ("i2t", "t2i", "i2i", "i2t", "t2i", "i2i", "i2t", "t2i")
WORST = ("i2t", "t2i")


@dataclass(frozen=True)
class GalleryCorpus:
    """What the gallery shows of the test studies, in the order of the study ids.

    `load` gives the picture of a study, or None where there is none.
    """

    studies: tuple[Study, ...]
    truth: tuple[Annotation, ...]
    load: Callable[[Study], Picture | None]
    contradictions: Contradictions


@dataclass(frozen=True, slots=True)
class GalleryStudy:
    """One study of the gallery: its image as a data URI, its report, its findings against those of the query.

    `missing` are diseases of the query that it lacks; `similarity` is its cosine similarity to the query.
    """

    study_id: str
    image: str
    findings: str
    impression: str
    marks: tuple[FindingMark, ...]
    missing: tuple[str, ...] = ()
    similarity: float | None = None

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What conflicts with the query, each named once."""
        return tuple(dict.fromkeys(c for mark in self.marks for c in mark.conflicts))


@dataclass(frozen=True, slots=True)
class GalleryQuery:
    """A query and the first answers of every method (method key → studies, best first)."""

    direction: str
    query: GalleryStudy
    retrieved: Mapping[str, tuple[GalleryStudy, ...]]


def random_gallery(
    test: GalleryCorpus, embeddings: Mapping[str, Embeddings], *, count: int, seed: int
) -> tuple[GalleryQuery, ...]:
    """`count` queries drawn at random, in the directions of `DRAWN`, with the first `TOP` of each method.

    Args:
        embeddings: method → embeddings in the order of `test.studies`.
    """
    rows = draw_queries(test.truth, count, seed=seed)
    asked = sorted(zip((DRAWN[i % len(DRAWN)] for i in range(len(rows))), rows, strict=True), key=_by_direction)
    return _gallery(test, embeddings, asked)


def failure_gallery(
    test: GalleryCorpus, embeddings: Mapping[str, Embeddings], *, ours: str, count: int
) -> tuple[GalleryQuery, ...]:
    """The `count` queries that the method `ours` answers worst, half of each direction across modalities."""
    reference = make_reference(test.truth, contradictions=test.contradictions)
    asked = [
        (direction, row)
        for i, direction in enumerate(WORST)
        for row in worst_queries(reference, embeddings[ours], direction)[: (count + 1 - i) // len(WORST)]
    ]
    return _gallery(test, embeddings, asked)


def draw_queries(annotations: Sequence[Annotation], count: int, *, seed: int) -> list[int]:
    """Rows of `count` abnormal studies with a descriptor, drawn by `seed`, different disease sets first.

    Where there are too few with a descriptor, abnormal ones without follow.
    """
    states = [disease_states(counted(a)) for a in annotations]
    abnormal = [i for i, s in enumerate(states) if s[0].disease != NO_FINDING]
    order = [abnormal[i] for i in np.random.default_rng(seed).permutation(len(abnormal))]
    described = [i for i in order if any(s.descriptors for s in states[i])]
    seen: set[frozenset[str]] = set()
    fresh: list[int] = []
    repeated: list[int] = []
    for row in described:
        diseases = frozenset(s.disease for s in states[row])
        (repeated if diseases in seen else fresh).append(row)
        seen.add(diseases)
    rest = [i for i in order if i not in set(described)]
    return [*fresh, *repeated, *rest][:count]


def worst_queries(reference: Reference, vectors: Embeddings, direction: str) -> list[int]:
    """Rows of abnormal queries, worst first.

    Worst has most studies that contradict it in side or severity among the first `TOP`, then fewest that share a
    disease; ties by study id. Queries without any other study of the same findings are left out: for them there
    was nothing better to find.
    """
    counts = np.bincount(reference.fine)
    rows = np.flatnonzero(~reference.is_normal & (counts[reference.fine] > 1))
    if not len(rows) or len(reference) <= TOP:
        return []
    top = top_studies(vectors.image, vectors.text, rows, direction=direction, k=TOP)
    shares = reference.shares_disease(rows, top)
    wrong = (reference.conflicts("side", rows, top) | reference.conflicts("severity", rows, top)) & shares
    order = np.lexsort((rows, shares.sum(axis=1), -wrong.sum(axis=1)))
    return [int(row) for row in rows[order]]


def counted(annotation: Annotation) -> tuple[Finding, ...]:
    """The findings that count in evaluation: those of the label set."""
    return tuple(f for f in annotation.findings if f.disease in DISEASES)


def data_uri(picture: Picture) -> str:
    """A grayscale uint8 picture [H W] as a JPEG data URI, at most `SIDE` pixels a side."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _by_direction(asked: tuple[str, int]) -> int:
    return list(DIRECTION_NAMES).index(asked[0])


def _gallery(
    test: GalleryCorpus, embeddings: Mapping[str, Embeddings], asked: Sequence[tuple[str, int]]
) -> tuple[GalleryQuery, ...]:
    """The queries (direction, row) in their order; each picture is loaded once."""
    pictures: dict[int, str] = {}

    def picture(row: int) -> str:
        if row not in pictures:
            loaded = test.load(test.studies[row])
            pictures[row] = "" if loaded is None else data_uri(loaded)
        return pictures[row]

    def shown(row: int, query: int, similarity: float) -> GalleryStudy:
        study = test.studies[row]
        found = compare(counted(test.truth[query]), counted(test.truth[row]), contradictions=test.contradictions)
        return GalleryStudy(
            study.study_id, picture(row), study.findings, study.impression, found.marks, found.missing, similarity
        )

    items = []
    for direction, row in asked:
        study = test.studies[row]
        marks = unmarked(counted(test.truth[row]))
        query = GalleryStudy(study.study_id, picture(row), study.findings, study.impression, marks)
        retrieved = {
            method: tuple(shown(other, row, similarity) for other, similarity in _ranked(vectors, row, direction))
            for method, vectors in embeddings.items()
        }
        items.append(GalleryQuery(DIRECTION_NAMES[direction], query, retrieved))
    return tuple(items)


def _ranked(vectors: Embeddings, row: int, direction: str) -> list[tuple[int, float]]:
    """Rows of the first `TOP` studies and their cosine similarity to the query."""
    side = {"i": vectors.image, "t": vectors.text}
    top = top_studies(vectors.image, vectors.text, np.array([row]), direction=direction, k=TOP)[0]
    query, found = unit(side[direction[0]][[row]]), unit(side[direction[2]][top])
    return [(int(other), float(value)) for other, value in zip(top, (found @ query.T)[:, 0], strict=True)]
