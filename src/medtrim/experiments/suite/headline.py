"""The figures of the main table."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.evaluation import DIRECTION_NAMES
from medtrim.evaluation.metric_info import MetricInfo, metric_info
from medtrim.experiments.suite.schema import Suite

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
    """What tells a figure from the others of one evaluation."""

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
