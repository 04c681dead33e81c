"""The page's tables, arranged for the template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.evaluation import DIRECTION_NAMES
from medtrim.evaluation.metric_info import MetricInfo, metric_infos
from medtrim.experiments.report.charts import Whisker, symmetric_span, whisker
from medtrim.experiments.report.markdown import best_methods, p_text
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Key, Row

FOREST = 90.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a method, and whether it is the best of its column."""

    row: Row | None
    best: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A method's line; `kind` is `ours`, `ablation` or empty."""

    method: str
    label: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class FiguresTable:
    """A line a method, a column a figure."""

    caption: str
    columns: tuple[Key, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours − the best other: the row, its verdict, its forest line and p as text."""

    row: Row
    verdict: str
    drawn: Whisker
    p: str


@dataclass(frozen=True, slots=True)
class BreakdownLine:
    """A group of queries: how many, and a cell a method."""

    label: str
    n: int
    cells: tuple[Row | None, ...]


@dataclass(frozen=True, slots=True)
class BreakdownTable:
    """One metric in one direction by group."""

    title: str
    info: MetricInfo
    better: str
    lines: tuple[BreakdownLine, ...]


def main_tables(results: SuiteResults) -> list[FiguresTable]:
    """The main table: one a direction, one for classification."""
    keys = results.headline
    return [
        figures(
            results,
            DIRECTION_NAMES.get(direction, "Classification of images"),
            [k for k in keys if k.direction == direction],
        )
        for direction in dict.fromkeys(key.direction for key in keys)
    ]


def more_tables(results: SuiteResults) -> list[FiguresTable]:
    """Everything else that was measured, apart from figures by label."""
    shown = set(results.headline)
    groups: dict[str, list[Key]] = {}
    check_companions(results.of("pooled"))
    for row in results.of("pooled"):
        key = row.key
        if key in shown or key.metric not in metric_infos() or key.label not in ("", "macro"):
            continue
        if row.task == "retrieval":
            caption = f"{DIRECTION_NAMES[row.direction]}, {row.queries} queries"
        else:
            caption = f"{row.task}, mean over labels"
        keys = groups.setdefault(caption, [])
        if key not in keys:
            keys.append(key)
    return [figures(results, caption, keys) for caption, keys in groups.items()]


def check_companions(rows: Iterable[Row]) -> None:
    """Refuse a metric that misleads alone: nDCG@10 needs both AUCs of the same method, direction and queries.

    Raises:
        ConfigError: a figure's companions are missing.
    """
    rows = [row for row in rows if row.task == "retrieval"]
    held = {(r.method, r.direction, r.queries, r.metric) for r in rows}
    infos = metric_infos()
    for row in rows:
        for need in infos[row.metric].needs if row.metric in infos else ():
            if (row.method, row.direction, row.queries, need) not in held:
                raise ConfigError(f"{row.metric} of {row.method!r} ({row.direction}) needs {need} beside it")


def figures(results: SuiteResults, caption: str, keys: Sequence[Key]) -> FiguresTable:
    """A table of `keys`."""
    best = {key: best_methods(results, key) for key in keys}
    lines = []
    for method in results.methods:
        rows = [results.pooled(method, key) for key in keys]
        cells = tuple(
            Cell(row if row is not None and row.value == row.value else None, method in best[key])
            for key, row in zip(keys, rows, strict=True)
        )
        lines.append(Line(method, results.label(method), _kind(results, method), cells))
    return FiguresTable(caption, tuple(keys), tuple(lines))


def differences(results: SuiteResults) -> list[Difference]:
    """The lines of the comparison with the best other method."""
    rows = results.of("best")
    span = symmetric_span(rows, least=0.05)
    return [
        Difference(r, r.verdict, whisker(r, low=-span, high=span, width=FOREST), p_text(r.p_holm)) for r in rows
    ]


def breakdowns(results: SuiteResults) -> list[BreakdownTable]:
    """A table a direction and metric."""
    rows = results.of("breakdown")
    tables = []
    for direction, metric in dict.fromkeys((r.direction, r.metric) for r in rows):
        own = {(r.method, r.label): r for r in rows if (r.direction, r.metric) == (direction, metric)}
        labels = sorted({label for _, label in own}, key=lambda name: (not name.startswith("disease"), name))
        lines = tuple(BreakdownLine(la, _count(own.values(), la), _cells(results, own, la)) for la in labels)
        info = metric_infos()[metric]
        arrow = " ↓" if info.better == "lower" else ""
        tables.append(BreakdownTable(f"{metric}{arrow}, {DIRECTION_NAMES[direction]}", info, info.better, lines))
    return tables


def _cells(results: SuiteResults, own: dict[tuple[str, str], Row], label: str) -> tuple[Row | None, ...]:
    found = [own.get((method, label)) for method in results.methods]
    return tuple(row if row is not None and row.value == row.value else None for row in found)


def _count(rows: Iterable[Row], label: str) -> int:
    return next(row.n for row in rows if row.label == label)


def _kind(results: SuiteResults, method: str) -> str:
    if method == results.facts["ours"]:
        return "ours"
    return "ablation" if results.facts["methods"][method]["ablation_of"] else ""
