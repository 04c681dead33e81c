from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from medtrim.errors import ConfigError
from medtrim.evaluation.metric_info import MetricInfo, metric_info, metric_infos
from medtrim.evaluation.verdicts import decide, verdict


@dataclass
class Difference:
    metric: str
    value: float
    low: float
    high: float
    p: float


@pytest.mark.parametrize(
    ("metric", "low", "high", "p", "expected"),
    [
        ("disease P@10", 0.01, 0.05, 0.05, "better"),
        ("disease P@10", -0.05, -0.01, 0.01, "worse"),
        ("disease P@10", -0.01, 0.05, 0.01, "open"),
        ("disease P@10", 0.01, 0.05, 0.32, "open"),
        ("disease P@10", 0.01, 0.05, math.nan, "open"),
        ("disease P@10", math.nan, math.nan, 0.01, "open"),
        ("disease P@10", 0.0, 0.05, 0.01, "open"),
        ("wrong side @R", -0.05, -0.01, 0.01, "better"),
        ("median rank", 1.0, 2.0, 0.01, "worse"),
    ],
)
def test_a_verdict_needs_the_interval_and_the_corrected_p(
    metric: str, low: float, high: float, p: float, expected: str
) -> None:
    assert verdict(metric, value=(low + high) / 2, low=low, high=high, p_corrected=p) == expected


def test_a_family_is_corrected_together() -> None:
    alone = Difference("fine P@10", 0.1, 0.05, 0.15, 0.03)
    (decision,) = decide([alone])
    assert (decision.p_corrected, decision.verdict) == (0.03, "better")
    decisions = decide([alone, Difference("disease P@10", 0.1, 0.05, 0.15, 0.04)])
    assert [d.p_corrected for d in decisions] == [0.06, 0.06]
    assert [d.verdict for d in decisions] == ["open", "open"]
    assert decide([]) == []


def test_an_undefined_difference_is_open_and_no_part_of_the_family() -> None:
    nan = math.nan
    decisions = decide(
        [Difference("fine P@10", nan, nan, nan, nan), Difference("fine P@10", 0.1, 0.05, 0.15, 0.03)]
    )
    assert [d.verdict for d in decisions] == ["open", "better"]
    assert decisions[1].p_corrected == 0.03


def test_an_unknown_metric_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'p@10'; known: R@1"):
        metric_info("p@10")


def test_companions_are_known_metrics() -> None:
    assert {need for info in metric_infos().values() for need in info.needs} <= set(metric_infos())


def test_a_metric_has_a_known_better() -> None:
    with pytest.raises(ConfigError, match="better"):
        MetricInfo("x", "fine", "x", "more", "percent", "")


@pytest.mark.parametrize(
    ("metric", "value", "signed", "text"),
    [
        ("disease P@10", 0.6184, False, "61.8"),
        ("disease P@10", -0.012, True, "−1.2"),
        ("median rank", 3.5, False, "3.5"),
        ("disease P@10", math.nan, False, "–"),
    ],
)
def test_values_are_shown_in_their_unit(metric: str, value: float, signed: bool, text: str) -> None:
    assert metric_info(metric).show(value, signed=signed) == text
