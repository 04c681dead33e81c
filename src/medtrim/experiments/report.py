"""One self-contained HTML file from `Results`: styles, script, drawings and pictures are all inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medtrim.evaluation.metric_info import MetricInfo, metric_infos
from medtrim.experiments.remarks import remarks
from medtrim.experiments.results import DIRECTIONS, Figure, Results
from medtrim.experiments.svg import Chart, Whisker, line_chart, symmetric_span, whisker
from medtrim.experiments.tables import (
    Table,
    check_companions,
    classification_summary,
    classification_tables,
    find,
    headline_metrics,
    retrieval_tables,
)
from medtrim.experiments.training_words import budget_words
from medtrim.types import DISEASES, NO_FINDING
from medtrim.types.tables import atomic_path
from medtrim.types.yamlfile import dump_yaml

SEVERAL = "several diseases"
PUBLISHED = "paper"
"""The method that trains with the published objective."""
FOREST_WIDTH = 90.0
DOTS_WIDTH = 100.0


@dataclass(frozen=True, slots=True)
class OverviewLine:
    """A line of the overview: a metric, and a cell a direction of (method, figure, where it is drawn)."""

    info: MetricInfo
    cells: tuple[tuple[tuple[str, Figure, Whisker], ...], ...]


def write_report(results: Results, out: Path | str) -> Path:
    """Write `results` as one HTML file at `out` (a folder gets `report.html`), atomically; returns its path.

    Raises:
        ConfigError: a figure is there without those it must not be shown without.
    """
    path = Path(out)
    if path.is_dir():
        path = path / "report.html"
    html = render(results)
    with atomic_path(path) as part:
        part.write_text(html, encoding="utf-8")
    return path


def render(results: Results) -> str:
    """The report's HTML."""
    check_companions(results.figures)
    tables = retrieval_tables(results, queries="abnormal")
    normal = retrieval_tables(results, queries="normal")
    classes = map_classes(results)
    overview = _overview(results)
    classification = classification_tables(results)
    summary = classification_summary(results)
    return (
        _environment()
        .get_template("report.html")
        .render(
            r=results,
            css=_asset("report.css"),
            js=_asset("report.js"),
            remarks=remarks(results),
            budget=budget_words(results),
            published=any(m.key == PUBLISHED for m in results.methods),
            overview=overview,
            directions=DIRECTIONS,
            tables=tables,
            normal_tables=normal,
            classification=classification,
            summary=summary,
            spans={t.key: _span(t) for t in (*tables, *normal, *classification, summary)},
            infos=tuple(metric_infos().values()),
            charts=_charts(results),
            classes=classes,
            class_index={name: _class_colour(name) for name in classes},
            method_index={m.key: i for i, m in enumerate(results.methods)},
            method_facts=tuple(dict.fromkeys(name for m in results.methods for name in m.facts)),
            config=dump_yaml(_plain(results.config)),
            whisker=lambda figure, span: whisker(figure, low=-span, high=span, width=FOREST_WIDTH),
        )
    )


def map_classes(results: Results) -> tuple[str, ...]:
    """The disease classes that occur on the maps, in the vocabulary's order."""
    held = {p.disease for m in results.maps for p in m.points}
    return tuple(name for name in (*DISEASES, NO_FINDING, SEVERAL) if name in held)


def _class_colour(name: str) -> int:
    """A disease has the same colour in every report."""
    order = (*DISEASES, NO_FINDING, SEVERAL)
    return order.index(name) if name in order else len(order) - 1


def _overview(results: Results) -> tuple[OverviewLine, ...]:
    lines = []
    for info in headline_metrics():
        cells = []
        for direction in DIRECTIONS:
            cell = []
            for method in results.methods:
                figure = find(
                    results,
                    task="retrieval",
                    method=method.key,
                    queries="abnormal",
                    direction=direction,
                    metric=info.key,
                )
                if figure is not None:
                    cell.append((method.key, figure, whisker(figure, low=0.0, high=1.0, width=DOTS_WIDTH)))
            cells.append(tuple(cell))
        if any(cells):
            lines.append(OverviewLine(info, tuple(cells)))
    return tuple(lines)


def _span(table: Table) -> dict[str, float]:
    """How far the table's difference tracks reach on each side of zero, a unit."""
    figures: dict[str, list[Figure]] = {"percent": [], "rank": []}
    for group in table.groups:
        for row in group.rows:
            figures[row.info.unit].extend(cell.figure for cell in row.differences)
    return {
        "percent": symmetric_span(figures["percent"], least=0.05),
        "rank": symmetric_span(figures["rank"], least=1.0),
    }


def _charts(results: Results) -> tuple[Chart, ...]:
    names = dict.fromkeys(curve.name for curve in results.curves)
    return tuple(line_chart(name, [c for c in results.curves if c.name == name]) for name in names)


def duration(seconds: float) -> str:
    """Seconds as a reader says them: `4.2 s`, `1 min 05 s`, `2 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def share(value: float) -> str:
    """A share in percent, in whole points; one that rounds to 0 or 100 without being it says so."""
    percent = 100 * value
    if 0 < percent < 0.5:
        return "below 1 %"
    if 99.5 <= percent < 100:
        return "above 99 %"
    return f"{percent:.0f} %"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("medtrim.experiments"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["share"] = share
    return environment


def _asset(name: str) -> Markup:
    """One of our own style or script files, which go into the page as they are."""
    source = resources.files("medtrim.experiments") / "templates" / name
    return Markup(source.read_text(encoding="utf-8"))


def _plain(value: Any) -> Any:
    """`value` with mappings, tuples and paths turned into what YAML holds."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
