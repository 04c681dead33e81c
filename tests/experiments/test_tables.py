from __future__ import annotations

import math
from dataclasses import replace

import pytest

from medtrim.errors import ConfigError
from medtrim.evaluation.metric_info import MetricInfo, metric_info, metric_infos
from medtrim.experiments.results import DIRECTIONS, Figure, Results
from medtrim.experiments.tables import check_companions, classification_tables, retrieval_tables, verdict_of


def test_every_direction_has_a_table_and_every_method_a_cell(results: Results) -> None:
    tables = retrieval_tables(results, queries="abnormal")
    assert tuple(t.caption for t in tables) == DIRECTIONS
    for table in tables:
        for group in table.groups:
            for row in group.rows:
                assert [cell is not None for cell in row.cells] == [True, True]
                assert [d.baseline for d in row.differences] == ["clip"]


def test_normal_queries_stay_apart(results: Results) -> None:
    for queries in ("abnormal", "normal"):
        tables = retrieval_tables(results, queries=queries)
        shown = [c.queries for t in tables for group in t.groups for row in group.rows for c in row.cells if c]
        assert set(shown) == {queries}
        assert len(tables) == len(DIRECTIONS)


def test_a_method_that_was_not_measured_has_an_empty_cell(results: Results) -> None:
    fewer = replace(results, figures=tuple(f for f in results.figures if f.method != "clip"))
    (first, *_) = retrieval_tables(fewer, queries="abnormal")
    assert first.groups[0].rows[0].cells[1] is None


def test_the_mean_comes_before_the_classes(results: Results) -> None:
    (table, _) = classification_tables(results)
    assert [row.label for row in table.groups[0].rows] == ["mean", "edema", "pleural effusion", "pneumothorax"]


@pytest.mark.parametrize("missing", ["attribute AUC", "disease AUC"])
def test_ndcg_is_refused_without_both_aucs(results: Results, missing: str) -> None:
    check_companions(results.figures)
    with pytest.raises(ConfigError, match=f"nDCG@10 .* needs {missing}"):
        check_companions(
            f for f in results.figures if not (f.metric == missing and f.direction == "text→image" and f.baseline)
        )


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("disease P@10", 0.01, 0.05, "better"),
        ("disease P@10", -0.05, -0.01, "worse"),
        ("disease P@10", -0.01, 0.05, "open"),
        ("disease P@10", math.nan, math.nan, "open"),
        ("disease P@10", 0.0, 0.05, "open"),
        ("wrong side @R", -0.05, -0.01, "better"),
        ("median rank", 1.0, 2.0, "worse"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_metrics_direction(
    metric: str, low: float, high: float, verdict: str
) -> None:
    figure = Figure("retrieval", "a", metric, (low + high) / 2, low, high, 9, baseline="b")
    assert verdict_of(figure, metric_info(metric)) == verdict


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
