"""Results of an experiment on real studies to disk: Parquet, JSON and a short Markdown table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from medtrim.errors import ConfigError
from medtrim.evaluation import Difference, Figure
from medtrim.types import Provenance
from medtrim.types.jsonfile import write_json
from medtrim.types.tables import atomic_path, write_table
from research.pooling import PooledMethod, differences

RESULTS, DIFFERENCES, SUMMARY, TABLE = "results.parquet", "differences.parquet", "results.json", "table.md"
FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in the Markdown table: how it is found and what it is headed; percent unless `plain`."""

    heading: str
    task: str
    metric: str
    direction: str = ""
    queries: str = ""
    label: str = ""
    plain: bool = False

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """As `Figure.key`."""
        return self.task, self.metric, self.direction, self.queries, self.label


@dataclass(frozen=True)
class Findings:
    """What an experiment found.

    Attributes:
        name: of the experiment; pages hold its tables between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
        title: of the table.
        methods: key → its pooled figures, in the order of the table.
        labels: key → what tables call it.
        baselines: keys that every method is compared with.
        columns: figures of the Markdown table.
        facts: settings and counts; no text, no patient.
    """

    name: str
    title: str
    methods: Mapping[str, PooledMethod]
    labels: Mapping[str, str]
    baselines: Sequence[str]
    columns: Sequence[Column]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def compared(self) -> dict[str, dict[str, list[Difference]]]:
        """Baseline → method → paired differences."""
        return {base: differences(self.methods, base) for base in self.baselines if base in self.methods}


def write_findings(findings: Findings, folder: Path) -> Path:
    """Write `results.parquet`, `differences.parquet`, `results.json` and `table.md`; returns the last."""
    provenance = Provenance("experiment", config=dict(findings.facts))
    rows = [
        {"method": key, **_row(figure), "spread": method.spread(figure), "seeds": len(method.by_seed)}
        for key, method in findings.methods.items()
        for figure in method.result.figures
    ]
    write_table(pa.Table.from_pylist(rows), folder / RESULTS, provenance)
    compared = [
        {"method": key, "baseline": base, **asdict(difference)}
        for base, others in findings.compared().items()
        for key, listed in others.items()
        for difference in listed
    ]
    write_table(pa.Table.from_pylist(compared), folder / DIFFERENCES, provenance)
    summary = {"facts": findings.facts, "figures": _plain(rows), "differences": _plain(compared)}
    write_json(folder / SUMMARY, summary)
    with atomic_path(folder / TABLE) as part:
        part.write_text(markdown(findings), encoding="utf-8")
    return folder / TABLE


def check_marks(path: Path, name: str) -> tuple[str, str]:
    """The marks between which a page holds the tables of the experiment `name`.

    Raises:
        ConfigError: there is no such page, or it has no such marks.
    """
    begin, end = (f"<!-- {name}:{part} -->" for part in ("begin", "end"))
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: the page to put tables into must be there")
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ConfigError(f"{path} must hold {begin} and {end} once each, in this order")
    return begin, end


def insert_findings(path: Path, findings: Findings) -> None:
    """Put the tables, differences with the first baseline alone, between the experiment's marks in a page.

    Raises:
        ConfigError: there is no such page, or it has no such marks.
    """
    insert_block(path, findings.name, markdown(replace(findings, baselines=tuple(findings.baselines)[:1])))


def insert_block(path: Path, name: str, block: str) -> None:
    """Put `block` between the marks of the experiment `name` in a page.

    Raises:
        ConfigError: there is no such page, or it has no such marks.
    """
    begin, end = check_marks(path, name)
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(begin)], text[text.index(end) :]
    with atomic_path(path) as part:
        part.write_text(f"{before}{begin}\n{block}{after}", encoding="utf-8")


def markdown(findings: Findings) -> str:
    """One table of values with their intervals, and one a baseline with paired differences."""
    columns = list(findings.columns)
    head = "| |" + "".join(f" {c.heading} |" for c in columns) + "\n|---|" + "---|" * len(columns) + "\n"
    text = [f"**{findings.title}** (95 % intervals by patient-level bootstrap)\n\n{head}"]
    for key, method in findings.methods.items():
        known = {f.key: f for f in method.result.figures}
        cells = (_cell(known.get(c.key), c) for c in columns)
        text.append(f"| {findings.labels[key]} |" + "".join(f" {cell} |" for cell in cells) + "\n")
    for base, others in findings.compared().items():
        text.append(f"\nMinus {findings.labels[base]}, paired; bold where the interval excludes 0:\n\n{head}")
        for key, listed in others.items():
            found = {(d.task, d.metric, d.direction, d.queries, d.label): d for d in listed}
            cells = (_difference_cell(found.get(c.key), c) for c in columns)
            text.append(f"| {findings.labels[key]} |" + "".join(f" {cell} |" for cell in cells) + "\n")
    seeds = max(len(method.by_seed) for method in findings.methods.values())
    if seeds < FEW_SEEDS:
        text.append(
            f"\n{seeds} training seed(s): intervals ignore most of the variance between seeds and are too narrow.\n"
        )
    return "".join(text)


def _row(figure: Figure) -> dict[str, Any]:
    names = ("task", "direction", "queries", "metric", "label", "value", "low", "high", "n", "patients")
    return {name: getattr(figure, name) for name in names}


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """NaN is no JSON."""
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def _cell(figure: Figure | None, column: Column) -> str:
    if figure is None or figure.value != figure.value:
        return "–"
    value, low, high = (_number(x, column) for x in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high})"


def _difference_cell(difference: Difference | None, column: Column) -> str:
    if difference is None or difference.value != difference.value:
        return "–"
    value = f"{'+' if difference.value > 0 else ''}{_number(difference.value, column)}"
    if difference.low != difference.low:
        return value
    shown = f"{value} ({_number(difference.low, column)} to {_number(difference.high, column)})"
    return f"**{shown}**" if difference.low > 0 or difference.high < 0 else shown


def _number(value: float, column: Column) -> str:
    return f"{value:.2f}" if column.plain else f"{100 * value:.1f}"
