"""Figures of scored labels: one a label and metric, and the mean over the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure, make_figure
from medtrim.evaluation.label_metrics import LabelScores, score_label

METRICS = ("AUROC", "AUPRC", "F1")
MACRO = "macro"


@dataclass(frozen=True)
class ScoredLabel:
    """One label's studies: scores, truth, rows among the bootstrap's studies (None: all), threshold of F1."""

    name: str
    scores: Float64[np.ndarray, " studies"]
    positive: Bool[np.ndarray, " studies"]
    rows: Integer[np.ndarray, " studies"] | None
    threshold: float


@dataclass(frozen=True, slots=True)
class Size:
    """How many studies a label is evaluated on, and of how many patients."""

    studies: int
    patients: int


def label_figures(
    task: str, labels: Sequence[ScoredLabel], bootstrap: PatientBootstrap, *, metrics: Sequence[str] = METRICS
) -> list[Figure]:
    """Each metric of each label, and as label `macro` the unweighted mean over them; nothing without labels."""
    scored = {label.name: score(label, bootstrap) for label in labels}
    sizes = {label.name: Size(len(label.scores), _patients(label, bootstrap)) for label in labels}
    return figures_of(task, scored, sizes, metrics=metrics)


def _patients(label: ScoredLabel, bootstrap: PatientBootstrap) -> int:
    return bootstrap.patients if label.rows is None else bootstrap.patients_of(label.rows)


def score(label: ScoredLabel, bootstrap: PatientBootstrap) -> LabelScores:
    """The metrics of one label."""
    rows = np.arange(len(label.scores)) if label.rows is None else label.rows
    return score_label(label.scores, label.positive, rows, bootstrap, threshold=label.threshold)


def figures_of(
    task: str, scored: dict[str, LabelScores], sizes: dict[str, Size], *, metrics: Sequence[str] = METRICS
) -> list[Figure]:
    """The figures of labels that are scored already."""
    figures = []
    for metric in metrics if scored else ():
        for label, result in scored.items():
            values = result.values[metric], result.replicates[metric]
            size = sizes[label]
            figures.append(make_figure(task, metric, *values, n=size.studies, patients=size.patients, label=label))
        mean = float(np.mean([s.values[metric] for s in scored.values()]))
        n, patients = (max(getattr(sizes[x], field) for x in scored) for field in ("studies", "patients"))
        stacked = np.stack([s.replicates[metric] for s in scored.values()])
        figures.append(
            make_figure(task, metric, mean, mean_of_defined(stacked), n=n, patients=patients, label=MACRO)
        )
    return figures


def mean_of_defined(
    stacked: Float64[np.ndarray, "rows resamples"], weights: Float64[np.ndarray, " rows"] | None = None
) -> Float64[np.ndarray, " resamples"]:
    """Mean, or weighted mean, over the rows that are not NaN, by column; NaN where none is."""
    defined = np.isfinite(stacked)
    shares = defined * (1.0 if weights is None else weights[:, None])
    count = shares.sum(axis=0)
    total = (shares * np.where(defined, stacked, 0.0)).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(stacked.shape[1], np.nan), where=count > 0))
