"""What rankings look like: queries drawn at random, the top of every method, findings marked against the query."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medtrim.evaluation.agreement import compare, disease_states, unmarked
from medtrim.evaluation.ranking import rank_without_own, similarities, unit
from medtrim.experiments.results import GalleryQuery, GalleryStudy
from medtrim.types import DEFAULT_CONTRADICTIONS, DISEASES, NO_FINDING, Annotation, Contradictions, Finding, Study

Picture = NDArray[np.uint8]
LoadPicture = Callable[[Study], Picture | None]
TOP = 5
SIDE = 192


@dataclass(frozen=True, slots=True)
class MethodEmbeddings:
    """One method's unit vectors [N D] of the test studies, rows in the order of the studies."""

    image: NDArray[np.floating]
    text: NDArray[np.floating]

    def of(self, modality: str) -> NDArray[np.floating]:
        """The vectors of `image` or `text`."""
        return self.image if modality == "image" else self.text


def counted(annotation: Annotation) -> tuple[Finding, ...]:
    """The findings that count in evaluation: those of the label set."""
    return tuple(f for f in annotation.findings if f.disease in DISEASES)


def draw_queries(annotations: Sequence[Annotation], count: int, *, seed: int) -> list[int]:
    """Rows of `count` abnormal studies with a descriptor, drawn by `seed`, different disease sets first.

    Where there are too few with a descriptor, abnormal ones without fill up.
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


def make_gallery(
    embeddings: Mapping[str, MethodEmbeddings],
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    *,
    load: LoadPicture,
    plan: Sequence[tuple[str, int]] = (("image→text", 3), ("text→image", 3), ("image→image", 2)),
    seed: int,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
) -> tuple[GalleryQuery, ...]:
    """For every (direction, number of queries) of `plan`: the queries and the first `TOP` of each method.

    `studies`, `annotations` and the rows of the embeddings are in one order, that of the study ids, by which ties
    are broken. The query's own study is left out. `load` gives a picture, or None where there is none.
    """
    drawn = iter(draw_queries(annotations, sum(count for _, count in plan), seed=seed))
    maker = _Maker(studies, annotations, load, contradictions)
    items = []
    for direction, count in plan:
        asked, searched = direction.split("→")
        for _, row in zip(range(count), drawn, strict=False):
            retrieved = {
                method: maker.retrieved(row, vectors.of(asked)[row], vectors.of(searched))
                for method, vectors in embeddings.items()
            }
            items.append(GalleryQuery(direction, maker.query(row), retrieved))
    return tuple(items)


class _Maker:
    """Turns rows into gallery studies; each picture is loaded once."""

    def __init__(
        self,
        studies: Sequence[Study],
        annotations: Sequence[Annotation],
        load: LoadPicture,
        contradictions: Contradictions,
    ) -> None:
        self.studies, self.load = studies, load
        self.counted = [counted(a) for a in annotations]
        self.contradictions = contradictions
        self.pictures: dict[int, str] = {}

    def query(self, row: int) -> GalleryStudy:
        study = self.studies[row]
        marks = unmarked(self.counted[row])
        return GalleryStudy(study.study_id, self.picture(row), study.findings, study.impression, marks)

    def retrieved(
        self, row: int, vector: NDArray[np.floating], gallery: NDArray[np.floating]
    ) -> tuple[GalleryStudy, ...]:
        similarity = similarities(unit(vector[None, :]), unit(gallery))
        ranked = rank_without_own(similarity, np.array([row]))[0, :TOP]
        return tuple(self._found(row, int(other), float(similarity[0, other])) for other in ranked)

    def _found(self, row: int, other: int, similarity: float) -> GalleryStudy:
        study = self.studies[other]
        agreement = compare(self.counted[row], self.counted[other], contradictions=self.contradictions)
        return GalleryStudy(
            study.study_id,
            self.picture(other),
            study.findings,
            study.impression,
            agreement.marks,
            agreement.missing,
            similarity=similarity,
        )

    def picture(self, row: int) -> str:
        if row not in self.pictures:
            loaded = self.load(self.studies[row])
            self.pictures[row] = "" if loaded is None else data_uri(loaded)
        return self.pictures[row]


def data_uri(picture: Picture) -> str:
    """A grayscale uint8 picture [H W] as a JPEG data URI, at most `SIDE` pixels a side."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
