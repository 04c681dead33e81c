"""Geometry of the page's charts, in SVG user units: curves, sweeps, intervals. The templates draw the marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from medtrim.experiments.rows import QUERIES, Row
from medtrim.training import read_metrics

WIDTH, HEIGHT = 460.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 10.0, 30.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: where it is and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """A value at `x`; the interval is NaN where there is none."""

    x: float
    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval on a track from 0 to `width`: its ends, its middle, and where zero lies if it is on the track."""

    low: float
    high: float
    middle: float
    zero: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A point where it is drawn; `low` and `high` are the interval's ends, or None."""

    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """A drawn line: `key` names its colour, `text` what it is."""

    key: str
    text: str
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart ready to be drawn, in SVG user units."""

    title: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM


def nice_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers that cover [low, high] with steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return (0.0, 1.0)
    # A range that floats cannot divide into steps is no range.
    if high - low <= max(1e-300, 1e-9 * max(abs(low), abs(high))):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(i * step for i in range(first, last + 1))


def plot(
    title: str, lines: Mapping[tuple[str, str], Sequence[Point]], *, x_label: str, at_values: bool = False
) -> Plot:
    """A chart of `lines`, (key, text) → points in the order of x.

    `at_values` puts the ticks of the x-axis at the points, which suits a sweep of a few values; they are then
    evenly spaced where the values span more than a factor of 20.
    """
    kept = {name: [p for p in points if math.isfinite(p.value)] for name, points in lines.items()}
    xs = sorted({p.x for points in kept.values() for p in points}) or [0.0, 1.0]
    ends = [v for points in kept.values() for p in points for v in (p.value, p.low, p.high) if math.isfinite(v)]
    y_values = nice_ticks(min(ends, default=0.0), max(ends, default=1.0))
    even = at_values and len(xs) > 2 and xs[-1] > 20 * max(xs[1] if xs[0] <= 0 else xs[0], 1e-12)
    place = {x: float(i) if even else x for i, x in enumerate(xs)}
    low, high = (place[xs[0]] if at_values else 0.0), place[xs[-1]]
    span = high - low or 1.0

    def x_at(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (place[x] - low) / span, 2)

    def y_at(value: float) -> float:
        share = (value - y_values[0]) / (y_values[-1] - y_values[0])
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 2)

    def mark(p: Point) -> Mark:
        bounded = math.isfinite(p.low) and math.isfinite(p.high)
        return Mark(x_at(p.x), y_at(p.value), *((y_at(p.low), y_at(p.high)) if bounded else (None, None)))

    series = []
    for (key, text), points in kept.items():
        marks = tuple(mark(p) for p in points)
        path = "M" + " L".join(f"{m.x} {m.y}" for m in marks) if marks else ""
        series.append(Series(key, text, path, marks))
    if at_values:
        x_ticks = tuple(Tick(x_at(x), f"{x:g}") for x in xs)
    else:
        wide = WIDTH - LEFT - RIGHT
        x_ticks = tuple(Tick(round(LEFT + wide * v / span, 2), f"{v:g}") for v in nice_ticks(0, high) if v <= high)
    return Plot(title, x_label, x_ticks, tuple(Tick(y_at(v), f"{v:.10g}") for v in y_values), tuple(series))


def learning_curves(
    metrics: Mapping[str, Sequence[Path]], labels: Mapping[str, str], names: Sequence[str]
) -> tuple[Plot, ...]:
    """A chart a validation figure: the mean over each method's seeds, in percent, by training step.

    Args:
        metrics: method → metrics.jsonl of each seed.
        names: figures logged as `eval/NAME`.
    """
    plots = []
    for name in names:
        lines: dict[tuple[str, str], list[Point]] = {}
        for method, paths in metrics.items():
            points = _mean_curve(paths, f"eval/{name}", scale=100.0)
            if points:
                lines[method, labels[method]] = points
        if lines:
            plots.append(plot(name, lines, x_label="training step"))
    return tuple(plots)


def loss_curves(metrics: Mapping[str, Sequence[Path]], labels: Mapping[str, str]) -> Plot | None:
    """Each method's loss as a share of its first logged value: losses of different methods are not comparable."""
    lines = {}
    for method, paths in metrics.items():
        points = _mean_curve(paths, "loss", scale=1.0)
        if points and points[0].value > 0:
            lines[method, labels[method]] = [Point(p.x, p.value / points[0].value) for p in points]
    return plot("loss, as a share of its first value", lines, x_label="training step") if lines else None


def sweep_plot(title: str, rows: Sequence[Row], metrics: Sequence[str]) -> Plot | None:
    """A sweep's chart: a line a metric, image→text, in percent, by the swept value; the mean over its seeds.

    With one seed the bars are its 95 % interval by patients.
    """
    lines: dict[tuple[str, str], list[Point]] = {}
    for metric in metrics:
        own = [r for r in rows if r.metric == metric and r.direction == "i2t" and r.queries == QUERIES]
        points = []
        for x in sorted({r.x for r in own}):
            at = [r for r in own if r.x == x]
            value = 100 * fmean(r.value for r in at)
            bounds = (100 * at[0].low, 100 * at[0].high) if len(at) == 1 else (float("nan"), float("nan"))
            points.append(Point(x, value, *bounds))
        if points:
            lines[metric, metric] = points
    return plot(title, lines, x_label="value", at_values=True) if lines else None


def _mean_curve(paths: Sequence[Path], name: str, *, scale: float) -> list[Point]:
    by_step: dict[float, list[float]] = {}
    for path in paths:
        for line in read_metrics(path):
            if name in line and math.isfinite(line[name]):
                by_step.setdefault(line["step"], []).append(line[name] * scale)
    return [Point(step, fmean(values)) for step, values in sorted(by_step.items())]


def whisker(row: Row, *, low: float, high: float, width: float) -> Whisker:
    """`row`'s interval on a track that spans [low, high]; ends beyond the track are cut off at its edge."""

    def at(value: float) -> float:
        if not math.isfinite(value):
            value = row.value
        return round(width * min(1.0, max(0.0, (value - low) / (high - low))), 2)

    zero = at(0.0) if low <= 0 <= high else None
    return Whisker(at(row.low), at(row.high), at(row.value), zero)


def symmetric_span(rows: Sequence[Row], *, least: float) -> float:
    """The half-width of a track around zero that holds every interval of `rows`, at least `least`."""
    ends = [abs(v) for f in rows for v in (f.value, f.low, f.high) if math.isfinite(v)]
    return max([least, *ends])
