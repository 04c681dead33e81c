"""The queries that ours answers worst, beside what the best other method answers: not picked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation import DIRECTION_NAMES, Embeddings, Reference, make_reference
from medtrim.evaluation.agreement import compare, unmarked
from medtrim.evaluation.retrieval import top_studies
from medtrim.experiments.gallery import Picture, data_uri
from medtrim.experiments.results import GalleryQuery, GalleryStudy
from medtrim.types import Annotation, Contradictions, Study

TOP = 5
DIRECTIONS = ("i2t", "t2i")


@dataclass(frozen=True)
class TestStudies:
    """What the gallery shows of the test studies, in the order of the study ids."""

    studies: tuple[Study, ...]
    truth: tuple[Annotation, ...]
    pictures: Mapping[str, Picture]
    contradictions: Contradictions


def failure_gallery(
    test: TestStudies, embeddings: Mapping[str, Embeddings], *, ours: str, count: int
) -> tuple[GalleryQuery, ...]:
    """`count` queries, half of each direction across modalities, with the first `TOP` of each method.

    Args:
        embeddings: method → embeddings in the order of `test.studies`.
        ours: the method whose worst queries are shown.
    """
    reference = make_reference(test.truth, contradictions=test.contradictions)
    items = []
    for i, direction in enumerate(DIRECTIONS):
        share = (count + 1 - i) // len(DIRECTIONS)
        for row in worst_queries(reference, embeddings[ours], direction)[:share]:
            retrieved = {
                method: tuple(_retrieved(test, vectors, row, direction)) for method, vectors in embeddings.items()
            }
            items.append(GalleryQuery(DIRECTION_NAMES[direction], _shown(test, row), retrieved))
    return tuple(items)


def worst_queries(reference: Reference, vectors: Embeddings, direction: str) -> list[int]:
    """Rows of abnormal queries, worst first.

    Worst has most studies that contradict it in side or severity among the first `TOP`, then fewest that share a
    disease; ties by study id. Queries without any other study of the same findings are left out: for them nothing
    better was there to find.
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


def _retrieved(test: TestStudies, vectors: Embeddings, row: int, direction: str) -> Sequence[GalleryStudy]:
    queries: NDArray[np.int64] = np.array([row])
    top = top_studies(vectors.image, vectors.text, queries, direction=direction, k=TOP)[0]
    return [_shown(test, int(other), query=row) for other in top]


def _shown(test: TestStudies, row: int, *, query: int | None = None) -> GalleryStudy:
    study, findings = test.studies[row], test.truth[row].findings
    picture = test.pictures.get(study.study_id)
    image = "" if picture is None else data_uri(picture)
    if query is None:
        return GalleryStudy(study.study_id, image, study.findings, study.impression, unmarked(findings))
    found = compare(test.truth[query].findings, findings, contradictions=test.contradictions)
    return GalleryStudy(study.study_id, image, study.findings, study.impression, found.marks, found.missing)
