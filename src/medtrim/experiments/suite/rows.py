"""The long table of a suite's results: one row a figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from medtrim.evaluation.verdicts import Verdict, verdict
from medtrim.experiments.suite.headline import Key
from medtrim.types import Provenance
from medtrim.types.tables import read_table, write_table

Kind = Literal["seed", "pooled", "difference", "best", "breakdown", "sweep"]
ROWS = pa.schema(
    [
        ("kind", pa.string()),
        ("method", pa.string()),
        ("baseline", pa.string()),
        ("seed", pa.int64()),
        ("sweep", pa.string()),
        ("x", pa.float64()),
        ("task", pa.string()),
        ("direction", pa.string()),
        ("queries", pa.string()),
        ("metric", pa.string()),
        ("label", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("spread", pa.float64()),
        ("p", pa.float64()),
        ("p_holm", pa.float64()),
        ("n", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with its 95 % interval.

    Attributes:
        kind: `seed` is of one trained model; `pooled` the mean over seeds; `difference` pooled method − baseline;
            `best` the same against the best other method, with `p_holm` over the main table's figures;
            `breakdown` pooled over seeds and of the queries named by `label`; `sweep` of a sensitivity run.
        seed: of training; None where pooled.
        spread: standard deviation between seeds; NaN for one seed.
        p, p_holm: two-sided bootstrap p-value of a difference; NaN elsewhere.
        n: queries or studies behind the figure.
    """

    kind: Kind
    method: str
    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    direction: str = ""
    queries: str = ""
    label: str = ""
    baseline: str = ""
    seed: int | None = None
    sweep: str = ""
    x: float = float("nan")
    spread: float = float("nan")
    p: float = float("nan")
    p_holm: float = float("nan")

    @property
    def key(self) -> Key:
        """Which figure it is."""
        return Key(self.task, self.metric, self.direction, self.queries, self.label)

    @property
    def verdict(self) -> Verdict:
        """What a difference says; `open` for everything that has no corrected p-value."""
        return verdict(self.metric, value=self.value, low=self.low, high=self.high, p_corrected=self.p_holm)


def write_rows(rows: Iterable[Row], path: Path, provenance: Provenance) -> None:
    """Write the rows as a table."""
    write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=ROWS), path, provenance)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a results table."""
    table = read_table(path, ROWS, table="results").select(ROWS.names)
    return tuple(Row(**row) for row in table.to_pylist())
