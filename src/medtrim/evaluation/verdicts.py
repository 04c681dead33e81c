"""Whether a paired difference counts as a gain or a loss: one rule, for every table, page and command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from medtrim.evaluation.metric_info import metric_info
from medtrim.evaluation.statistics import holm

Verdict = Literal["better", "worse", "open"]
# Family-wise error rate: p-values are those that Holm's correction has adjusted.
ALPHA = 0.05


@runtime_checkable
class PairedDifference(Protocol):
    """A paired difference of one metric with its 95 % interval and its two-sided p-value, not corrected."""

    @property
    def metric(self) -> str: ...

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def p(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one difference, and the corrected p-value that it rests on (NaN where there is none)."""

    p_corrected: float
    verdict: Verdict


def verdict(metric: str, *, value: float, low: float, high: float, p_corrected: float) -> Verdict:
    """`better` or `worse` where the interval excludes 0 and the corrected p is at most `ALPHA`; `open` otherwise.

    Both are required, since the interval is not corrected for the number of comparisons. An interval or a p-value
    that is NaN decides nothing. Whether higher is better is the metric's (`metrics.yaml`).

    Raises:
        ConfigError: the metric is not known.

    Example:
        >>> verdict("wrong side @R", value=-0.04, low=-0.06, high=-0.01, p_corrected=0.02)
        'better'
        >>> verdict("fine P@10", value=0.1, low=0.05, high=0.15, p_corrected=0.32)
        'open'
    """
    info = metric_info(metric)
    if not (p_corrected <= ALPHA and (low > 0 or high < 0)):
        return "open"
    return "better" if info.improves(value) else "worse"


def decide(family: Sequence[PairedDifference]) -> list[Decision]:
    """The verdict on each difference of `family`, p-values corrected over the family by Holm's method."""
    return [
        Decision(p, verdict(d.metric, value=d.value, low=d.low, high=d.high, p_corrected=p))
        for d, p in zip(family, holm([d.p for d in family]), strict=True)
    ]
