"""Geometry of the suite page's charts: learning curves over steps and sweeps over values, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from medtrim.experiments.suite.headline import QUERIES
from medtrim.experiments.suite.rows import Row
from medtrim.experiments.svg import Tick, nice_ticks
from medtrim.training import read_metrics

WIDTH, HEIGHT = 460.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 10.0, 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """A value at `x`; the interval is NaN where there is none."""

    x: float
    value: float
    low: float = float("nan")
    high: float = float("nan")


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
    """Each method's loss as a share of its first logged value: losses of different methods are no one quantity."""
    lines = {}
    for method, paths in metrics.items():
        points = _mean_curve(paths, "loss", scale=1.0)
        if points and points[0].value > 0:
            lines[method, labels[method]] = [Point(p.x, p.value / points[0].value) for p in points]
    return plot("loss, as a share of its first value", lines, x_label="training step") if lines else None


def sweep_plot(title: str, rows: Sequence[Row], metrics: Sequence[str], *, direction: str = "i2t") -> Plot | None:
    """A sweep's chart: a line a metric, in percent, by the swept value; the mean over its seeds.

    With one seed the bars are its 95 % interval by patients.
    """
    lines: dict[tuple[str, str], list[Point]] = {}
    for metric in metrics:
        own = [r for r in rows if r.metric == metric and r.direction == direction and r.queries == QUERIES]
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
