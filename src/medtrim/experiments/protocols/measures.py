"""What the protocols measure on embeddings: P@k by class, recall of own texts, zero-shot accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation import Embeddings, Figure, PatientBootstrap
from medtrim.evaluation.figures import figure_of, mean_values
from medtrim.evaluation.ranking import rank_gallery, rank_without_own, similarities, unit

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TextGallery:
    """Distinct texts: `vectors` [T D], and the text of each study `of` [N]."""

    vectors: Floats
    of: Rows


def merge_texts(vectors: Embeddings, codes: Sequence[int], *, merge: bool) -> TextGallery:
    """The gallery of texts: one entry a code (its first study's vector), or one a study without `merge`."""
    if not merge:
        return TextGallery(vectors.text.astype(np.float64), np.arange(len(vectors)))
    _, first, of = np.unique(np.asarray(codes), return_index=True, return_inverse=True)
    return TextGallery(vectors.text[first].astype(np.float64), of.astype(np.int64))


def class_precision(
    vectors: Embeddings, classes: Rows, bootstrap: PatientBootstrap, *, cuts: Sequence[int], own_in_gallery: bool
) -> list[Figure]:
    """P@k of image→text and text→image: the share of the first k that is of the query's class, mean over queries.

    k counts as it is, even where a class has fewer studies, as the field reports it.
    """
    rows: Rows = np.arange(len(vectors))
    image, text = unit(vectors.image), unit(vectors.text)
    figures = []
    for direction, queries, gallery in (("i2t", image, text), ("t2i", text, image)):
        similarity = similarities(queries, gallery)
        ranked = rank_gallery(similarity) if own_in_gallery else rank_without_own(similarity, rows)
        relevant = classes[ranked] == classes[:, None]
        for k in cuts:
            share = relevant[:, :k].mean(axis=1)
            figures.append(
                figure_of(
                    mean_values(f"P@{k}", share),
                    rows,
                    bootstrap,
                    direction=direction,
                    group="all",
                    own_in_gallery=own_in_gallery,
                )
            )
    return figures


def text_recall(
    vectors: Embeddings, gallery: TextGallery, bootstrap: PatientBootstrap, *, cuts: Sequence[int]
) -> list[Figure]:
    """R@k with merged texts: image→text finds the image's text, text→image any image of the text.

    In text→image each study asks with its text: a text counts once for each study that has it, and intervals are by
    patient.
    """
    rows: Rows = np.arange(len(vectors))
    similarity = similarities(unit(vectors.image), unit(gallery.vectors))
    hits = {
        "i2t": gallery.of[:, None] == rank_gallery(similarity),
        "t2i": gallery.of[rank_gallery(np.ascontiguousarray(similarity.T))][gallery.of] == gallery.of[:, None],
    }
    return [
        figure_of(
            mean_values(f"R@{k}", found[:, :k].any(axis=1).astype(np.float64)),
            rows,
            bootstrap,
            direction=direction,
            group="all",
            own_in_gallery=True,
        )
        for direction, found in hits.items()
        for k in cuts
    ]


def zero_shot_accuracy(
    image: NDArray[np.float32],
    prompts: Sequence[NDArray[np.float32]],
    classes: Rows,
    names: Sequence[str],
    bootstrap: PatientBootstrap,
) -> list[Figure]:
    """Accuracy of the class whose prompts' mean unit vector is nearest, over all studies and by class.

    Args:
        prompts: a class's encoded prompts each [P D].
        classes: the class of each study [N].
    """
    centres = np.concatenate([unit(unit(p).mean(axis=0, keepdims=True)) for p in prompts])
    guess = rank_gallery(similarities(unit(image), centres))[:, 0]
    right = (guess == classes).astype(np.float64)
    figures = []
    groups = {"": np.arange(len(classes)), **{name: np.flatnonzero(classes == i) for i, name in enumerate(names)}}
    for label, rows in groups.items():
        values = mean_values("accuracy", right[rows])
        figure = figure_of(values, rows, bootstrap, direction="", group="", own_in_gallery=False)
        figures.append(replace(figure, task="zero-shot", label=label, own_in_gallery=None))
    return figures
