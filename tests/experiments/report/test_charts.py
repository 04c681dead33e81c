from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medtrim.experiments.report.charts import Point, nice_ticks, plot, symmetric_span, whisker
from medtrim.experiments.rows import Row

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@example(0.0, 5e-324)
@example(1e6, math.nextafter(1e6, 2e6))
@given(FINITE, FINITE)
def test_ticks_cover_the_range_in_even_round_steps(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 12
    assert all(x < y for x, y in itertools.pairwise(ticks))


def test_ticks_of_what_is_not_finite_are_a_unit_axis() -> None:
    assert nice_ticks(math.nan, 1.0) == (0.0, 1.0)


def test_a_chart_leaves_out_values_that_are_not_finite() -> None:
    points = [Point(0, 1.0), Point(10, math.nan), Point(20, 0.5)]
    chart = plot("loss", {("a", "A"): points, ("b", "B"): []}, x_label="training step")
    first, empty = chart.series
    assert (first.key, first.text) == ("a", "A")
    assert first.path.count("L") == 1
    assert "nan" not in first.path
    assert (empty.path, empty.marks) == ("", ())


def test_a_constant_curve_is_drawn_inside_the_frame() -> None:
    (series,) = plot("loss", {("a", "A"): [Point(0, 2.0), Point(5, 2.0)]}, x_label="training step").series
    assert 0 < series.marks[-1].y < 240


def row(value: float, low: float, high: float) -> Row:
    return Row("pooled", "m", "retrieval", "disease P@10", value, low, high, 10)


def test_a_whisker_is_cut_off_at_the_track() -> None:
    drawn = whisker(row(0.5, -3.0, 9.0), low=-1.0, high=1.0, width=100)
    assert (drawn.low, drawn.middle, drawn.high, drawn.zero) == (0, 75, 100, 50)


def test_a_whisker_without_interval_is_its_middle() -> None:
    drawn = whisker(row(0.5, math.nan, math.nan), low=0.1, high=1.0, width=90)
    assert drawn.low == drawn.middle == drawn.high
    assert drawn.zero is None


@pytest.mark.parametrize(("rows", "span"), [([], 0.05), ([row(0.2, -0.4, math.nan)], 0.4)])
def test_the_span_holds_every_finite_end(rows: list[Row], span: float) -> None:
    assert symmetric_span(rows, least=0.05) == span
