"""From what evaluation measured to the figures and paired differences of a report."""

from __future__ import annotations

from medtrim.evaluation import DIRECTION_NAMES, Difference, EvaluationResult, compare
from medtrim.evaluation import figures as measured
from medtrim.experiments.results import Figure

DIAGNOSTIC = "diagnostic"


def figures_of(result: EvaluationResult, *, method: str) -> list[Figure]:
    """The report's figures of one method; diagnostics are no results and are left out."""
    return [_figure(f, method=method) for f in result.figures if f.task != DIAGNOSTIC]


def differences(ours: EvaluationResult, theirs: EvaluationResult, *, method: str, baseline: str) -> list[Figure]:
    """The paired difference ours − theirs of every figure that both have.

    Raises:
        TableError: they were evaluated on different studies.
    """
    return [_figure(d, method=method, baseline=baseline) for d in compare(ours, theirs) if d.task != DIAGNOSTIC]


def _figure(found: measured.Figure | Difference, *, method: str, baseline: str = "") -> Figure:
    return Figure(
        task=found.task,
        method=method,
        metric=found.metric,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        baseline=baseline,
        queries=found.queries or "all",  # type: ignore[arg-type]
        direction=DIRECTION_NAMES.get(found.direction, found.direction),
        target=found.label,
    )
