"""A plane map of both modalities' embeddings, and two numbers measured in the full space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation.agreement import disease_states, unmarked
from medtrim.evaluation.diagnostics import effective_rank, modality_gap
from medtrim.experiments.report.gallery import counted
from medtrim.types import NO_FINDING, Annotation

Vectors = NDArray[np.floating]
SEVERAL = "several diseases"
_LEAST_TSNE = 20
"""Below this many points t-SNE's neighbourhoods mean nothing; principal components are drawn instead."""


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One embedding on the map: coordinates in [0, 1], modality, disease class, findings in words."""

    x: float
    y: float
    modality: Literal["image", "text"]
    disease: str
    words: str


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """A plane map of one method's embeddings. `gap` is the distance between the modalities' centroids."""

    method: str
    points: tuple[MapPoint, ...]
    technique: str
    gap: float
    effective_rank: float


def make_map(
    method: str, image: Vectors, text: Vectors, annotations: Sequence[Annotation], *, studies: int, seed: int
) -> EmbeddingMap:
    """Map of unit vectors `image` and `text` [N D] of the studies that `annotations` describe.

    At most `studies` studies, drawn by `seed`, are mapped; gap and effective rank are of all. t-SNE (van der
    Maaten & Hinton 2008) of both modalities together, from principal components.
    """
    chosen = np.arange(len(annotations))
    if len(chosen) > studies:
        chosen = np.sort(np.random.default_rng(seed).choice(len(chosen), studies, replace=False))
    both = np.concatenate([image[chosen], text[chosen]]).astype(np.float64)
    plane, technique = _plane(both, seed)
    points = [
        MapPoint(float(x), float(y), "image" if i < len(chosen) else "text", *_described(annotations[row]))
        for i, ((x, y), row) in enumerate(zip(_unit_square(plane), [*chosen, *chosen], strict=True))
    ]
    return EmbeddingMap(method, tuple(points), technique, modality_gap(image, text), effective_rank(image))


def map_class(annotation: Annotation) -> str:
    """The class that colours a study: its only disease of the label set, several diseases, or no finding."""
    held = [s.disease for s in disease_states(counted(annotation)) if s.disease != NO_FINDING]
    return held[0] if len(held) == 1 else SEVERAL if held else NO_FINDING


def _described(annotation: Annotation) -> tuple[str, str]:
    return map_class(annotation), ", ".join(mark.words for mark in unmarked(counted(annotation)))


def _plane(points: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], str]:
    centred = points - points.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    components = np.zeros((len(points), 2))
    components[:, : values.size] = (left * values)[:, :2]
    # The sign of a principal axis is arbitrary; the entry of largest size is made positive so that maps repeat.
    for axis in components.T:
        if axis[np.abs(axis).argmax()] < 0:
            axis *= -1
    if len(points) < _LEAST_TSNE:
        return components, "principal components"
    from sklearn.manifold import TSNE  # scikit-learn takes a while to import
    from threadpoolctl import threadpool_limits

    spread = components[:, 0].std()
    start = components / spread * 1e-4 if spread > 0 else components
    perplexity = min(30.0, (len(points) - 1) / 3)
    # One thread: the map is the same on every machine, and for so few points threads cost more than they give.
    with threadpool_limits(limits=1):
        mapped = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(points)
    return np.asarray(mapped, dtype=np.float64), "t-SNE"


def _unit_square(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """`plane` shifted and scaled into [0, 1]², its aspect kept."""
    low = plane.min(axis=0)
    extent = plane.max(axis=0) - low
    scale = float(extent.max())
    if not scale > 0:
        return np.full_like(plane, 0.5)
    return np.asarray((plane - low) / scale + (1 - extent / scale) / 2)
