"""Two methods on the same queries: paired bootstrap differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from medtrim.errors import TableError
from medtrim.evaluation.bootstrap import Interval, interval
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.result import EvaluationResult
from medtrim.types import Provenance
from medtrim.types.tables import write_table

# Below this number of patients a percentile interval is too narrow to be stated, and so is p.
FEWEST_PATIENTS = 20
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Difference:
    """`value` = first − second of one figure, with the 95 % interval of the paired replicates.

    `p` is twice the smaller share of replicates on either side of 0 (a replicate at 0 counts on both, and one is
    added so that p is never 0): small where the sign of the difference hardly ever changes.

    p is NaN, and `why_no_p` says why, where fewer than `FEWEST_PATIENTS` patients are behind the figure (then the
    interval is NaN too) or where all replicates agree (then it has no width): counting them says nothing there.
    """

    task: str
    metric: str
    direction: str
    queries: str
    label: str
    first: float
    second: float
    value: float
    low: float
    high: float
    p: float
    n: int
    patients: int
    why_no_p: str = ""


def compare(first: EvaluationResult, second: EvaluationResult) -> list[Difference]:
    """The difference `first` − `second` of every figure that both have, tasks of `left_out` apart.

    Replicate i of both stands for the same draw of patients, so their difference is a paired bootstrap.

    Raises:
        TableError: they were evaluated on different studies, truth or resamples.

    Example:
        >>> import medtrim, numpy as np
        >>> reports = ["Left effusion.", "Left effusion.", "Right effusion.", "Clear."] * 6
        >>> ids = [f"s{i}" for i in range(24)]
        >>> truth, good = medtrim.annotate(reports, study_ids=ids), np.eye(4)[[0, 0, 1, 2] * 6]
        >>> ours = medtrim.evaluate_retrieval(good, good, truth, study_ids=ids, method="ours")
        >>> theirs = medtrim.evaluate_retrieval(good[::-1], good, truth, study_ids=ids, method="theirs")
        >>> found = {(d.metric, d.direction): d for d in medtrim.compare(ours, theirs)}
        >>> found["fine P@10", "i2t"].value > 0
        True
    """
    _check_comparable(first, second)
    unlike = left_out(first, second)
    others = {figure.key: figure for figure in second.figures}
    return [
        _difference(figure, others[figure.key], _patients(figure, others[figure.key], first))
        for figure in first.figures
        if figure.key in others and figure.task not in unlike
    ]


def left_out(first: EvaluationResult, second: EvaluationResult) -> dict[str, str]:
    """Task → why `compare` leaves it out: only one has it, or it was made with other prompts, training studies …

    Raises:
        TableError: as `compare`.
    """
    _check_comparable(first, second)
    ours, theirs = ({f.task: None for f in result.figures} for result in (first, second))
    unlike: dict[str, str] = {}
    for task in ours | theirs:
        if task not in ours or task not in theirs:
            unlike[task] = f"only {(first if task in ours else second).method!r} has it"
            continue
        one, two = first.task_fingerprints.get(task, {}), second.task_fingerprints.get(task, {})
        parts = [name for name in dict.fromkeys([*one, *two]) if one.get(name) != two.get(name)]
        if parts:
            unlike[task] = f"different {', '.join(parts)}"
    return unlike


def _check_comparable(first: EvaluationResult, second: EvaluationResult) -> None:
    if first.fingerprint != second.fingerprint:
        raise TableError(
            f"{first.method!r} and {second.method!r} were evaluated on different studies, truth or resamples: "
            "a paired comparison needs the same"
        )


def _patients(figure: Figure, other: Figure, result: EvaluationResult) -> int:
    """How many patients are behind a figure, or where nobody noted it the most there can be."""
    known = (figure.patients, other.patients, result.facts.get("patients"), figure.n)
    return min(int(count) for count in known if count is not None)


def _difference(figure: Figure, other: Figure, patients: int) -> Difference:
    replicates = figure.replicates - other.replicates
    defined = replicates[np.isfinite(replicates)]
    bounds, p, why = interval(replicates), _two_sided(defined), ""
    if patients < FEWEST_PATIENTS:
        bounds, p, why = Interval(NAN, NAN), NAN, "too few patients"
    elif not len(defined):
        why = "not defined"
    elif np.ptp(defined) < 1e-12:
        p, why = NAN, "all resamples agree"
    return Difference(
        *figure.key,
        first=figure.value,
        second=other.value,
        value=figure.value - other.value,
        low=bounds.low,
        high=bounds.high,
        p=p,
        n=figure.n,
        patients=patients,
        why_no_p=why,
    )


def write_comparison(
    differences: list[Difference], path: Path | str, *, first: EvaluationResult, second: EvaluationResult
) -> None:
    """Write the differences as a table."""
    names = [*Difference.__dataclass_fields__]
    table = pa.table({name: [getattr(d, name) for d in differences] for name in names})
    config = {"first": first.method, "second": second.method}
    write_table(table, path, Provenance("comparison", config=config, extra={"fingerprint": first.fingerprint}))


def _two_sided(defined: np.ndarray) -> float:
    if not len(defined):
        return NAN
    smaller = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (smaller + 1) / (len(defined) + 1)))
