"""The benchmark's table in Markdown and its figures as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from research.zone_benchmark import LABELS, OURS, Benchmark
from research.zone_scores import MEASURES, Agreement

NAME = "zone-benchmark"
_HEAD = "| | zone | side | whole severity |\n|---|---|---|---|\n"


def zone_markdown(found: Benchmark) -> str:
    """Rows by text prompts, rows of probes, and MedTrim's differences."""
    seeds = max((len(row.seeds) for row in found.prompted.values()), default=1)
    text = [
        f"**{found.films} films of {found.patients} patients**; zone and severity are Spearman, side an AUC; 95 % "
        f"intervals over patients and {seeds} seed(s).\n\nBy text prompts or nothing learned; no zone score, real "
        f"film or real note was trained on:\n\n{_HEAD}"
    ]
    text += [_row(LABELS[key], row) for key, row in found.prompted.items()]
    text.append(f"\nBy ridge regression on the scores of other patients (a probe):\n\n{_HEAD}")
    text += [_row(LABELS[key], row) for key, row in found.probed.items()]
    if found.pairs:
        text.append(
            "\nA film or its mirror image? Share told apart by right and left prompts, of films with uneven "
            "scores:\n\n| | told apart |\n|---|---|\n"
        )
        text += [f"| {LABELS[key]} | {_cell(*pair)} |\n" for key, pair in found.pairs.items()]
    if OURS in found.prompted:
        text.append(f"\nMedTrim minus another row, paired; bold where the interval leaves out 0:\n\n{_HEAD}")
        text += [
            _difference(LABELS[key], found.prompted[OURS], row)
            for key, row in found.prompted.items()
            if key not in (OURS, "reader")
        ]
    if found.chosen:
        settings = (
            f"{LABELS[m]} rate {c['rate']:g}, noise {c['noise']:g} ({c['validation']:.2f})"
            for m, c in found.chosen.items()
        )
        text.append(f"\nChosen on validation phantoms: {'; '.join(settings)}.\n")
    return "".join(text)


def zone_facts(found: Benchmark) -> dict[str, Any]:
    """Every figure as plain data."""

    def rows(table: Mapping[str, Agreement]) -> dict[str, Any]:
        return {
            key: {
                "value": _plain(row.value.tolist()),
                "interval": [_plain(end) for end in row.interval().tolist()],
                "seeds": [_plain(seed) for seed in row.seeds.tolist()],
            }
            for key, row in table.items()
        }

    return {
        "measures": list(MEASURES),
        "films": found.films,
        "patients": found.patients,
        "chosen": {key: dict(value) for key, value in found.chosen.items()},
        "prompted": rows(found.prompted),
        "probed": rows(found.probed),
        "mirror pairs": {key: list(pair) for key, pair in found.pairs.items()},
    }


def _plain(values: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _row(label: str, row: Agreement) -> str:
    low, high = row.interval()
    cells = (_cell(v, a, b) for v, a, b in zip(row.value, low, high, strict=True))
    return f"| {label} |" + "".join(f" {cell} |" for cell in cells) + "\n"


def _cell(value: float, low: float, high: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _difference(label: str, ours: Agreement, other: Agreement) -> str:
    value, (low, high) = ours.minus(other)
    cells = []
    for v, a, b in zip(value, low, high, strict=True):
        shown = f"{v:+.2f} ({a:.2f} to {b:.2f})"
        cells.append("–" if math.isnan(v) else f"**{shown}**" if a > 0 or b < 0 else shown)
    return f"| {label} |" + "".join(f" {cell} |" for cell in cells) + "\n"
