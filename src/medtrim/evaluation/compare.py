"""Two methods on the same queries: paired bootstrap differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pyarrow as pa

from medtrim.errors import TableError
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.result import EvaluationResult
from medtrim.evaluation.statistics import SeedPool
from medtrim.types import Provenance
from medtrim.types.tables import write_table

# Below this number of patients a percentile interval is too narrow to be stated, and so is p.
FEWEST_PATIENTS = 20
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Difference:
    """`value` = first − second of one figure, with the 95 % interval of the paired replicates.

    With one seed `p` is twice the smaller share of replicates on either side of 0 (a replicate at 0 counts on both,
    and one is added so that p is never 0): small where the sign of the difference hardly ever changes. With several
    it is that of `SeedPool`.

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
        TableError: they were evaluated on different studies, patients, truth or resamples.

    Examples:
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
    return compare_seeds([first], [second])


def compare_seeds(first: Sequence[EvaluationResult], second: Sequence[EvaluationResult]) -> list[Difference]:
    """The same for two methods that were trained with several seeds: result s of both is of seed s.

    The interval is `SeedPool`'s: of the variation between patients and, from two seeds on, between seeds.

    Raises:
        TableError: as `compare`, or the numbers of seeds differ.
    """
    if len(first) != len(second) or not first:
        raise TableError(f"{len(first)} and {len(second)} seeds: a comparison pairs the same ones")
    for one, two in zip(first, second, strict=True):
        _check_comparable(one, two)
    unlike = {task for one, two in zip(first, second, strict=True) for task in left_out(one, two)}
    tables = [{f.key: f for f in result.figures} for result in (*first, *second)]
    pool = SeedPool(len(first))
    found = []
    for key, figure in tables[0].items():
        if figure.task not in unlike and all(key in table for table in tables):
            figures = [table[key] for table in tables]
            found.append(_difference(figures[: len(first)], figures[len(first) :], pool, first[0]))
    return found


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
            f"{first.method!r} and {second.method!r} were evaluated on different studies, patients, truth or "
            "resamples: a paired comparison needs the same"
        )


def _patients(figures: Iterable[Figure], result: EvaluationResult) -> int:
    """How many patients are behind a figure; where this was not recorded, the most there can be."""
    known = [count for f in figures for count in (f.patients, f.n)]
    return min(int(count) for count in (*known, result.facts.get("patients")) if count is not None)


def _difference(
    ours: Sequence[Figure], theirs: Sequence[Figure], pool: SeedPool, result: EvaluationResult
) -> Difference:
    values = [a.value - b.value for a, b in zip(ours, theirs, strict=True)]
    replicates = np.stack([a.replicates - b.replicates for a, b in zip(ours, theirs, strict=True)])
    found, why = pool.pool(values, replicates), ""
    defined = replicates[:, np.isfinite(replicates).all(axis=0)]
    patients = _patients((*ours, *theirs), result)
    if patients < FEWEST_PATIENTS:
        found, why = replace(found, low=NAN, high=NAN, p=NAN), "too few patients"
    elif not defined.size:
        why = "not defined"
    elif np.ptp(defined, axis=1).max() < 1e-12:
        found, why = replace(found, p=NAN), "all resamples agree"
    return Difference(
        *ours[0].key,
        first=fmean(f.value for f in ours),
        second=fmean(f.value for f in theirs),
        value=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        n=ours[0].n,
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
