"""Figures pooled over folds: every study is a query once, among the studies of its own fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation import Embeddings, Figure, PatientBootstrap, make_reference
from medtrim.evaluation.figures import QueryValues, figure_of, make_figure
from medtrim.evaluation.label_figures import MACRO, mean_of_defined
from medtrim.evaluation.retrieval import retrieval_figures
from medtrim.evaluation.zero_shot import MIN_COUNT, disease_labels, enough
from medtrim.experiments.real.folds import Folds

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def pooled_retrieval(found: Sequence[Embeddings], folds: Folds, bootstrap: PatientBootstrap) -> list[Figure]:
    """Retrieval figures of all queries together, each ranked among the studies of its own fold.

    Vectors of different folds come from different models and are never compared. Median ranks are left out:
    galleries differ in size.

    Args:
        found: embeddings of each fold's studies.
        bootstrap: over all studies, in the order of `folds.studies`.
    """
    known = {a.study_id: a for a in folds.annotations}
    place = {s.study_id: i for i, s in enumerate(folds.studies)}
    parts: dict[tuple[str, str, str], list[tuple[Rows, QueryValues]]] = {}
    for embeddings in found:
        ids = sorted(embeddings.study_ids)
        ordered = embeddings.select(ids)
        reference = make_reference([known[s] for s in ids], contradictions=folds.contradictions)
        rows = np.array([place[s] for s in ids], np.int64)
        once = PatientBootstrap([str(i) for i in range(len(ids))], resamples=1, seed=0)
        for table in retrieval_figures(ordered.image, ordered.text, reference, once).queries:
            for values in table.values:
                key = (table.direction, table.group, values.metric)
                parts.setdefault(key, []).append((rows[table.queries], values))
    figures = []
    for (direction, group, metric), listed in parts.items():
        whole = QueryValues(
            metric,
            np.concatenate([v.numerator for _, v in listed]),
            np.concatenate([v.denominator for _, v in listed]),
        )
        rows = np.concatenate([r for r, _ in listed])
        own = metric.startswith("R@")
        figures.append(figure_of(whole, rows, bootstrap, direction=direction, group=group, own_in_gallery=own))
    return figures


def pooled_zero_shot(
    scores: Sequence[Mapping[str, Mapping[str, float]]], folds: Folds, bootstrap: PatientBootstrap
) -> list[Figure]:
    """AUROC by label and the mean of those that are defined.

    A positive is compared with the negatives of its own fold alone.

    Args:
        scores: for each fold, label → study → score.
        bootstrap: over all studies, in the order of `folds.studies`.
    """
    place = {s.study_id: i for i, s in enumerate(folds.studies)}
    reference = make_reference(folds.annotations)
    has = disease_labels(reference)
    figures: list[Figure] = []
    for label, positive in has.items():
        if not enough(positive, MIN_COUNT):
            continue
        truth = dict(zip(reference.study_ids, positive.tolist(), strict=True))
        strata = [
            (
                np.array([place[s] for s in fold[label]], np.int64),
                np.array(list(fold[label].values()), np.float64),
                np.array([truth[s] for s in fold[label]], np.bool_),
            )
            for fold in scores
        ]
        figures.append(_stratified(label, strata, bootstrap))
    if figures:
        value = mean_of_defined(np.array([[f.value] for f in figures]))[0]
        stacked = mean_of_defined(np.stack([f.replicates for f in figures]))
        n, patients = len(folds.studies), bootstrap.patients
        figures.append(
            make_figure("zero-shot", "AUROC", float(value), stacked, n=n, patients=patients, label=MACRO)
        )
    return figures


def _stratified(
    label: str, strata: Sequence[tuple[Rows, Floats, NDArray[np.bool_]]], bootstrap: PatientBootstrap
) -> Figure:
    """AUROC over pairs (positive, negative) within strata: Σ w_p w_n c(p, n) / Σ w_p w_n, weights of a resample."""
    top = bottom = 0.0
    tops, bottoms = np.zeros(bootstrap.resamples), np.zeros(bootstrap.resamples)
    for rows, scores, positive in strata:
        ahead = _ahead(scores[positive], scores[~positive])
        weights = bootstrap.study_weights(rows).astype(np.float64)
        ours, theirs = weights[positive], weights[~positive]
        top += float(ahead.sum())
        bottom += ahead.size
        tops += ((ahead.T @ ours) * theirs).sum(axis=0)
        bottoms += ours.sum(axis=0) * theirs.sum(axis=0)
    replicates = np.divide(tops, bottoms, out=np.full(len(tops), np.nan), where=bottoms > 0)
    value = top / bottom if bottom else float("nan")
    n = sum(len(rows) for rows, _, _ in strata)
    return make_figure("zero-shot", "AUROC", value, replicates, n=n, patients=bootstrap.patients, label=label)


def _ahead(positive: Floats, negative: Floats) -> Floats:
    """1 where a positive scores above a negative, ½ where equal: [positives negatives]."""
    difference = positive[:, None] - negative[None, :]
    return np.asarray(np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0)))
