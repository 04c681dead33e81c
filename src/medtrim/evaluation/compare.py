"""Two methods on the same queries: paired bootstrap differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from medtrim.errors import TableError
from medtrim.evaluation.bootstrap import interval
from medtrim.evaluation.result import EvaluationResult
from medtrim.types import Provenance
from medtrim.types.tables import write_table


@dataclass(frozen=True, slots=True)
class Difference:
    """`value` = first − second of one figure, with the 95 % interval of the paired replicates.

    `p` is twice the smaller share of replicates on either side of 0 (a replicate at 0 counts on both, and one is
    added so that p is never 0): small where the sign of the difference hardly ever changes.
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


def compare(first: EvaluationResult, second: EvaluationResult) -> list[Difference]:
    """The difference of every figure that both have.

    Replicate i of both stands for the same draw of patients, so their difference is a paired bootstrap.

    Raises:
        TableError: they were evaluated on different studies, truth or resamples.
    """
    if first.fingerprint != second.fingerprint:
        raise TableError(
            f"{first.method!r} and {second.method!r} were evaluated on different studies, truth or resamples: "
            "a paired comparison needs the same"
        )
    others = {figure.key: figure for figure in second.figures}
    found = []
    for figure in first.figures:
        other = others.get(figure.key)
        if other is None:
            continue
        replicates = figure.replicates - other.replicates
        bounds = interval(replicates)
        found.append(
            Difference(
                *figure.key,
                first=figure.value,
                second=other.value,
                value=figure.value - other.value,
                low=bounds.low,
                high=bounds.high,
                p=_two_sided(replicates),
                n=figure.n,
            )
        )
    return found


def write_comparison(
    differences: list[Difference], path: Path | str, *, first: EvaluationResult, second: EvaluationResult
) -> None:
    """Write the differences as a table."""
    names = [*Difference.__dataclass_fields__]
    table = pa.table({name: [getattr(d, name) for d in differences] for name in names})
    config = {"first": first.method, "second": second.method}
    write_table(table, path, Provenance("comparison", config=config, extra={"fingerprint": first.fingerprint}))


def _two_sided(replicates: np.ndarray) -> float:
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return float("nan")
    smaller = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (smaller + 1) / (len(defined) + 1)))
