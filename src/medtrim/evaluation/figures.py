"""One measured number with its interval, and how it is made from per-query values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Float64, Integer

from medtrim.errors import TableError
from medtrim.evaluation.bootstrap import LEVEL, Interval, PatientBootstrap, Replicates, interval
from medtrim.evaluation.gallery import GalleryEffect


@dataclass(frozen=True)
class Figure:
    """A number and its 95 % interval by patient-level bootstrap.

    Attributes:
        task: `retrieval`, `zero-shot`, `zero-shot side` (…), `probe 10%` (…) or `diagnostic`.
        metric: what was measured, such as `disease P@10` or `AUROC` (docs/evaluation.md defines each).
        n: queries or studies that it rests on; those that leave it undefined are not among them.
        patients: of those studies; None where that is not known (evaluations written by an older version).
        direction: `i2t`, `t2i`, `i2i`, `t2t` (query to gallery), or empty.
        queries: `all`, `abnormal` or `normal`, or empty where there are no queries.
        label: disease or descriptor contrast of a classification, `macro` for the mean over labels, or empty.
        own_in_gallery: whether the query's own study is in its gallery; None outside retrieval.
        replicates: the statistic in each resample.
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    direction: str = ""
    queries: str = ""
    label: str = ""
    own_in_gallery: bool | None = None
    patients: int | None = None
    replicates: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What tells figures of one evaluation apart."""
        return self.task, self.metric, self.direction, self.queries, self.label


def make_figure(
    task: str,
    metric: str,
    value: float,
    replicates: Replicates,
    *,
    n: int,
    patients: int | None = None,
    direction: str = "",
    queries: str = "",
    label: str = "",
    own_in_gallery: bool | None = None,
) -> Figure:
    """A figure with the percentile interval of its replicates; without one (NaN) where it rests on one patient."""
    bounds = interval(replicates) if patients is None or patients >= 2 else Interval(float("nan"), float("nan"))
    return Figure(
        task=task,
        metric=metric,
        value=float(value),
        low=bounds.low,
        high=bounds.high,
        n=n,
        direction=direction,
        queries=queries,
        label=label,
        own_in_gallery=own_in_gallery,
        patients=patients,
        replicates=replicates,
    )


@dataclass(frozen=True)
class QueryValues:
    """A metric by query: the figure is Σ numerator / Σ denominator, a plain mean where the denominator is 1.

    A query that leaves the metric undefined has NaN in both and is not counted. `gallery` is what each study of the
    gallery adds to the two sums; without it the figure's interval takes the gallery as given.
    """

    metric: str
    numerator: Float64[np.ndarray, " queries"]
    denominator: Float64[np.ndarray, " queries"]
    gallery: GalleryEffect | None = None


def mean_values(
    metric: str, values: Float64[np.ndarray, " queries"], gallery: GalleryEffect | None = None
) -> QueryValues:
    """A metric that is averaged over the queries which define it (are not NaN)."""
    return QueryValues(metric, values, np.where(np.isnan(values), np.nan, 1.0), gallery)


def joined(parts: Sequence[QueryValues]) -> QueryValues:
    """One metric's values of several groups of queries, one after the other.

    Raises:
        TableError: there are no parts, or they are of different metrics.
    """
    if len({part.metric for part in parts}) != 1:
        raise TableError(f"values to join must be of one metric: {[part.metric for part in parts]}")
    effects = [part.gallery for part in parts]
    known = [effect for effect in effects if effect is not None]
    return QueryValues(
        parts[0].metric,
        np.concatenate([part.numerator for part in parts]),
        np.concatenate([part.denominator for part in parts]),
        reduce(add, known) if len(known) == len(effects) else None,
    )


def figure_of(
    values: QueryValues,
    queries: Integer[np.ndarray, " queries"],
    bootstrap: PatientBootstrap,
    *,
    direction: str,
    group: str,
    own_in_gallery: bool,
) -> Figure:
    """The figure of per-query values; `queries` are rows of the bootstrap's studies."""
    defined = np.isfinite(values.denominator)
    top, bottom, rows = values.numerator[defined], values.denominator[defined], queries[defined]
    total = float(bottom.sum())
    value = float(top.sum()) / total if total > 0 else float("nan")
    patients = bootstrap.patients_of(rows[bottom > 0])
    figure = make_figure(
        "retrieval",
        values.metric,
        value,
        bootstrap.ratio(top, bottom, rows, gallery=values.gallery),
        n=len(rows),
        patients=patients,
        direction=direction,
        queries=group,
        own_in_gallery=own_in_gallery,
    )
    if value not in (0.0, 1.0) or patients < 2:
        return figure
    low, high = bound_at_the_edge(value, patients)
    return replace(figure, low=low, high=high)


def bound_at_the_edge(value: float, patients: int) -> tuple[float, float]:
    """The Clopper–Pearson interval of a share that is 0 or 1 among `patients`.

    Where every query fails, or none, all resamples agree and the percentile interval has no width, however few
    the patients: 7 of 7 are compatible with 59 %.
    """
    edge = ((1 - LEVEL) / 2) ** (1 / patients)
    return (edge, 1.0) if value == 1.0 else (0.0, 1.0 - edge)
