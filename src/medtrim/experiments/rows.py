"""The long table of a suite's results, one row a figure, and which figures the main table has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from medtrim.evaluation import DIRECTION_NAMES
from medtrim.evaluation.metric_info import MetricInfo, metric_info
from medtrim.evaluation.verdicts import Verdict, verdict
from medtrim.experiments.schema import Suite
from medtrim.types import Provenance
from medtrim.types.tables import read_table, write_table

RETRIEVAL = (
    "disease P@10",
    "fine P@10",
    "conflict-free @R",
    "wrong side @R",
    "wrong severity @R",
    "attribute AUC",
    "disease AUC",
)
MAIN_DIRECTIONS = ("i2t", "t2i")
QUERIES = "all"


@dataclass(frozen=True, slots=True)
class Key:
    """Identifies a figure within one evaluation."""

    task: str
    metric: str
    direction: str = ""
    queries: str = ""
    label: str = ""

    @property
    def info(self) -> MetricInfo:
        """How the metric is shown and which way is better."""
        return metric_info(self.metric)

    @property
    def mark(self) -> str:
        """What follows its name in a table: an arrow where lower is better."""
        return " ↓" if self.info.better == "lower" else ""

    @property
    def heading(self) -> str:
        """What a table's column or a sentence calls it, without the direction."""
        if self.task == "retrieval":
            return self.metric.replace(" @", "@")
        return f"{self.task} {self.metric}"

    @property
    def full(self) -> str:
        """The heading with the direction."""
        return f"{self.heading}, {DIRECTION_NAMES[self.direction]}" if self.direction else self.heading


Kind = Literal[
    "seed", "pooled", "difference", "best", "breakdown", "sweep", "unseen", "unseen difference", "unseen best"
]
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
            `unseen`, `unseen difference` and `unseen best` are the same three on the unseen studies;
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


def headline_keys(suite: Suite) -> tuple[Key, ...]:
    """The figures by which methods are compared: retrieval in both directions across modalities, zero-shot, probe.

    Retrieval is over all queries, normal ones included. These are the family of Holm's correction. The probe is the
    one on the largest share of labels.
    """
    keys = [Key("retrieval", metric, d, QUERIES) for d in MAIN_DIRECTIONS for metric in RETRIEVAL]
    if suite.evaluation.zero_shot:
        keys.append(Key("zero-shot", "AUROC", label="macro"))
    if suite.evaluation.probes:
        keys.append(Key(f"probe {max(suite.evaluation.probes):.0%}", "AUROC", label="macro"))
    return tuple(keys)
