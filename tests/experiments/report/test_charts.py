from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medtrim.experiments.results import Curve, Figure
from medtrim.experiments.report.charts import line_chart, nice_ticks, symmetric_span, whisker

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
    chart = line_chart("loss", [Curve("a", "loss", (0, 10, 20), (1.0, math.nan, 0.5)), Curve("b", "loss", (), ())])
    (line,) = chart.lines
    assert line.method == "a"
    assert line.path.count("L") == 1
    assert "nan" not in line.path


def test_a_constant_curve_is_drawn_inside_the_frame() -> None:
    (line,) = line_chart("loss", [Curve("a", "loss", (0, 5), (2.0, 2.0))]).lines
    assert 0 < line.last[1] < 240


def figure(value: float, low: float, high: float) -> Figure:
    return Figure("retrieval", "m", "disease P@10", value, low, high, 10)


def test_a_whisker_is_cut_off_at_the_track() -> None:
    drawn = whisker(figure(0.5, -3.0, 9.0), low=-1.0, high=1.0, width=100)
    assert (drawn.low, drawn.middle, drawn.high, drawn.zero) == (0, 75, 100, 50)


def test_a_whisker_without_interval_is_its_middle() -> None:
    drawn = whisker(figure(0.5, math.nan, math.nan), low=0.1, high=1.0, width=90)
    assert drawn.low == drawn.middle == drawn.high
    assert drawn.zero is None


@pytest.mark.parametrize(("figures", "span"), [([], 0.05), ([figure(0.2, -0.4, math.nan)], 0.4)])
def test_the_span_holds_every_finite_end(figures: list[Figure], span: float) -> None:
    assert symmetric_span(figures, least=0.05) == span
