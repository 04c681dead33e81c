"""Figures arranged as the report shows them: rows of metrics, a cell a method, a paired difference beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.evaluation.metric_info import MetricInfo, group_titles, metric_infos
from medtrim.experiments.results import DIRECTIONS, Figure, Results

MACRO = "macro"
"""Evaluation's name for the mean over classes."""


@dataclass(frozen=True, slots=True)
class DifferenceCell:
    """A paired difference ours − baseline; `verdict` is `better`, `worse` or `open` (the interval holds 0)."""

    baseline: str
    figure: Figure
    verdict: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a metric (or a class), a figure a method (None where not measured), differences."""

    label: str
    info: MetricInfo
    cells: tuple[Figure | None, ...]
    differences: tuple[DifferenceCell, ...]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Lines under a common heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption; `methods` are the keys of its columns."""

    key: str
    caption: str
    methods: tuple[str, ...]
    groups: tuple[RowGroup, ...]
    queries: int


def verdict_of(figure: Figure, info: MetricInfo) -> str:
    """What a paired difference says: `better` or `worse` where the interval leaves 0 out, else `open`."""
    if not (figure.low > 0 or figure.high < 0):  # also where the interval is nan
        return "open"
    return "better" if info.improves(figure.value) else "worse"


def check_companions(figures: Iterable[Figure]) -> None:
    """Refuse a metric that misleads alone: nDCG@10 needs both AUCs in the same direction and queries.

    Raises:
        ConfigError: a figure's companions are missing.
    """
    figures = list(figures)
    held = {(f.method, f.baseline, f.direction, f.queries, f.metric) for f in figures if f.task == "retrieval"}
    infos = metric_infos()
    for figure in figures:
        for need in infos[figure.metric].needs if figure.metric in infos else ():
            if (figure.method, figure.baseline, figure.direction, figure.queries, need) not in held:
                raise ConfigError(
                    f"{figure.metric} of {figure.method!r} ({figure.direction}) needs {need} beside it"
                )


def retrieval_tables(results: Results, *, queries: str) -> tuple[Table, ...]:
    """One table a direction, for the queries named."""
    figures = [f for f in results.figures if f.task == "retrieval" and f.queries == queries]
    tables = []
    for direction in DIRECTIONS:
        of_direction = [f for f in figures if f.direction == direction]
        if of_direction:
            count = max(f.n for f in of_direction)
            tables.append(_metric_table(results, f"{queries}-{direction}", direction, of_direction, count))
    return tuple(tables)


def classification_tables(results: Results) -> tuple[Table, ...]:
    """One table a classification task: a group a metric, a line a class, the mean over classes first."""
    tables = []
    tasks = dict.fromkeys(f.task for f in results.figures if f.task != "retrieval")
    for task in tasks:
        figures = [f for f in results.figures if f.task == task]
        groups = []
        for info in metric_infos().values():
            of_metric = [f for f in figures if f.metric == info.key]
            targets = dict.fromkeys(f.target for f in of_metric)
            rows = tuple(
                _row(results, "mean" if t == MACRO else t or "all", info, [f for f in of_metric if f.target == t])
                for t in sorted(targets, key=lambda t: (t != MACRO, t))
            )
            if rows:
                groups.append(RowGroup(info.label, rows))
        count = max(f.n for f in figures)
        tables.append(Table(task, task, tuple(m.key for m in results.methods), tuple(groups), count))
    return tuple(tables)


def classification_summary(results: Results) -> Table:
    """The means over classes of every classification task: a group a task, a line a metric."""
    figures = [f for f in results.figures if f.task != "retrieval" and f.target == MACRO]
    groups = []
    for task in dict.fromkeys(f.task for f in figures):
        rows = tuple(
            _row(results, info.label, info, of_metric)
            for info in metric_infos().values()
            if (of_metric := [f for f in figures if f.task == task and f.metric == info.key])
        )
        groups.append(RowGroup(task, rows))
    count = max((f.n for f in figures), default=0)
    return Table(
        "classification", "Means over classes", tuple(m.key for m in results.methods), tuple(groups), count
    )


def headline_metrics() -> tuple[MetricInfo, ...]:
    """The few metrics of the overview, in the order of tables."""
    return tuple(info for info in metric_infos().values() if info.headline)


def find(results: Results, **wanted: str) -> Figure | None:
    """The figure whose fields equal `wanted`; `baseline` is empty unless asked for."""
    wanted = {"baseline": "", **wanted}
    return next((f for f in results.figures if all(getattr(f, k) == v for k, v in wanted.items())), None)


def _metric_table(results: Results, key: str, caption: str, figures: list[Figure], count: int) -> Table:
    groups = []
    for group, title in group_titles().items():
        infos = [info for info in metric_infos().values() if info.group == group]
        rows = tuple(
            _row(results, info.label, info, of_metric)
            for info in infos
            if (of_metric := [f for f in figures if f.metric == info.key])
        )
        if rows:
            groups.append(RowGroup(title, rows))
    return Table(key, caption, tuple(m.key for m in results.methods), tuple(groups), count)


def _row(results: Results, label: str, info: MetricInfo, figures: list[Figure]) -> Row:
    absolute = {f.method: f for f in figures if not f.baseline}
    differences = tuple(
        DifferenceCell(f.baseline, f, verdict_of(f, info))
        for f in figures
        if f.baseline and f.method == results.ours
    )
    return Row(label, info, tuple(absolute.get(m.key) for m in results.methods), differences)
