"""Geometry of the report's drawings: what goes where, in SVG user units. The templates turn it into marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medtrim.experiments.results import Curve, Figure


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: where it is and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart: its method and an SVG path; `last` is where it ends, for a dot."""

    method: str
    path: str
    last: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart: its size, frame and ticks, and a line a method."""

    title: str
    width: float
    height: float
    left: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval on a track from 0 to `width`: its ends, its middle, and where zero lies if it is on the track."""

    low: float
    high: float
    middle: float
    zero: float | None


def nice_ticks(low: float, high: float, *, count: int = 5) -> tuple[float, ...]:
    """Round numbers that cover [low, high] with steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return (0.0, 1.0)
    # A range that floats cannot divide into steps is no range.
    if high - low <= max(1e-300, 1e-9 * max(abs(low), abs(high))):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(i * step for i in range(first, last + 1))


def line_chart(title: str, curves: Sequence[Curve], *, width: float = 460, height: float = 240) -> Chart:
    """A chart of curves over common axes. Values that are not finite are left out of the lines."""
    left, bottom, top, right = 48.0, 30.0, 10.0, 12.0
    points = [
        [(s, v) for s, v in zip(curve.steps, curve.values, strict=True) if math.isfinite(v)] for curve in curves
    ]
    steps = [s for line in points for s, _ in line] or [0, 1]
    values = [v for line in points for _, v in line] or [0.0, 1.0]
    x_values = nice_ticks(0, max(steps))
    y_values = nice_ticks(min(values), max(values))
    x_high = max(max(steps), 1)
    plot_width, plot_height = width - left - right, height - top - bottom

    def x_at(step: float) -> float:
        return round(left + plot_width * step / x_high, 2)

    def y_at(value: float) -> float:
        low, high = y_values[0], y_values[-1]
        return round(top + plot_height * (1 - (value - low) / (high - low)), 2)

    lines = tuple(
        Line(
            curve.method,
            "M" + " L".join(f"{x_at(s)} {y_at(v)}" for s, v in line),
            (x_at(line[-1][0]), y_at(line[-1][1])),
        )
        for curve, line in zip(curves, points, strict=True)
        if line
    )
    return Chart(
        title=title,
        width=width,
        height=height,
        left=left,
        bottom=height - bottom,
        x_ticks=tuple(Tick(x_at(v), f"{v:g}") for v in x_values if v <= x_high),
        y_ticks=tuple(Tick(y_at(v), f"{v:.10g}") for v in y_values),
        lines=lines,
    )


def whisker(figure: Figure, *, low: float, high: float, width: float) -> Whisker:
    """`figure`'s interval on a track that spans [low, high]; ends beyond the track are cut off at its edge."""

    def at(value: float) -> float:
        if not math.isfinite(value):
            value = figure.value
        return round(width * min(1.0, max(0.0, (value - low) / (high - low))), 2)

    zero = at(0.0) if low <= 0 <= high else None
    return Whisker(at(figure.low), at(figure.high), at(figure.value), zero)


def symmetric_span(figures: Sequence[Figure], *, least: float) -> float:
    """The half-width of a track around zero that holds every interval of `figures`, at least `least`."""
    ends = [abs(v) for f in figures for v in (f.value, f.low, f.high) if math.isfinite(v)]
    return max([least, *ends])
