"""One method's evaluations on the folds of a cross-validation, pooled to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medtrim.errors import TableError
from medtrim.evaluation.figures import Figure, bound_at_the_edge, make_figure
from medtrim.evaluation.fingerprint import pooled_fingerprint
from medtrim.evaluation.label_figures import mean_of_defined
from medtrim.evaluation.metric_info import metric_info
from medtrim.evaluation.result import EvaluationResult


def pool_folds(folds: Sequence[EvaluationResult]) -> EvaluationResult:
    """The evaluation of K models, each on the patients of one fold, as one evaluation on all of them.

    A figure is the mean over the folds that define it, each weighted with the queries or studies it rests on there:

        x = Σ_k n_k x_k / Σ_k n_k.

    For metrics that are means over queries (R@k, P@k, mAP, nDCG) this is the mean over all queries, each in the
    gallery of its own fold. For ratios of sums (conflict rates) and for areas under curves it is a mean of the
    folds' figures: scores of different models are not ranked together. Replicates are pooled in the same way, so
    patients are drawn within their fold; folds have to be evaluated with different bootstrap seeds, or their draws
    depend on each other. That training sets overlap is not part of the interval: no unbiased estimate of that
    variance exists (Bengio & Grandvalet 2004, JMLR 5).

    Embeddings and per-query values are left out, since those of different models do not go together.

    Args:
        folds: the evaluations of one method and training seed, in the order of the folds.

    Raises:
        TableError: there is no fold, a study is in two of them, or their numbers of resamples differ.
    """
    if not folds:
        raise TableError("there is no fold to pool")
    ids = [study_id for result in folds for study_id in result.study_ids]
    if len(set(ids)) < len(ids):
        raise TableError("folds must not share studies")
    by_key: dict[tuple[str, str, str, str, str], list[Figure]] = {}
    for result in folds:
        for figure in result.figures:
            by_key.setdefault(figure.key, []).append(figure)
    tasks = dict.fromkeys(task for result in folds for task in result.task_fingerprints)
    return EvaluationResult(
        method=folds[0].method,
        figures=tuple(_pooled(figures) for figures in by_key.values()),
        fingerprint=pooled_fingerprint(result.fingerprint for result in folds),
        facts={
            "folds": len(folds),
            "studies": sum(int(result.facts.get("studies", 0)) for result in folds),
            "unread": sum(int(result.facts.get("unread", 0)) for result in folds),
            "patients": sum(int(result.facts.get("patients", 0)) for result in folds),
        },
        study_ids=tuple(ids),
        task_fingerprints={
            task: {"folds": pooled_fingerprint(str(dict(r.task_fingerprints.get(task, {}))) for r in folds)}
            for task in tasks
        },
    )


def _pooled(figures: Sequence[Figure]) -> Figure:
    first, known = figures[0], [f.patients for f in figures if f.patients is not None]
    if len({len(f.replicates) for f in figures}) > 1:
        raise TableError("folds to pool must have the same number of resamples")
    counts = np.array([f.n for f in figures], np.float64)
    value = float(mean_of_defined(np.array([[f.value] for f in figures]), counts)[0])
    patients = sum(known) if len(known) == len(figures) else None
    pooled = make_figure(
        first.task,
        first.metric,
        value,
        mean_of_defined(np.stack([f.replicates for f in figures]), counts),
        n=int(counts.sum()),
        patients=patients,
        direction=first.direction,
        queries=first.queries,
        label=first.label,
        own_in_gallery=first.own_in_gallery,
    )
    at_the_edge = first.task == "retrieval" and value in (0.0, 1.0) and metric_info(first.metric).unit == "percent"
    if not at_the_edge or patients is None or patients < 2:
        return pooled
    low, high = bound_at_the_edge(value, patients)
    return replace(pooled, low=low, high=high)
