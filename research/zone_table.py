"""The benchmark's tables in Markdown and its figures as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from medtrim.evaluation.statistics import Estimate
from research.notes import MATCHED, RETRIEVED
from research.zone_benchmark import LABELS, OURS, Benchmark
from research.zone_scores import Row

NAME, SUMMARY = "zone-benchmark", "real-films"
PROMPTED = {
    "zone": "zone",
    "side": "side",
    "severity": "whole severity",
    "pairs": "worse of two films of a patient",
    "mirror": "told from its mirror image",
}
PROBED = {key: PROMPTED[key] for key in ("zone", "side", "severity")}
NOTED = {name: name for name in (*RETRIEVED, *MATCHED)}
EMBEDDED = {"likeness": "likeness of films by zone scores", **NOTED}
SHORT = ("reader", "brightness", "untrained", "clip", OURS)


def zone_markdown(found: Benchmark) -> str:
    """Rows by text prompts, of probes and of embeddings, and MedTrim's differences."""
    seeds = {
        key: max((len(figure.values) for figure in row.values()), default=1) for key, row in found.prompted.items()
    }
    most = max(seeds.values(), default=1)
    fewer = [LABELS[key] for key in found.chosen if seeds[key] < most]
    text = [
        f"**{found.films} films of {found.patients} patients**; zone and severity are Spearman, side an AUC, pairs "
        f"and mirror images shares; 95 % intervals over patients and {most} seed(s).\n\nBy text prompts, or with "
        "nothing learned; no zone score, real film or real note was trained on:\n\n",
        _table(found.prompted, PROMPTED),
        "\nBy ridge regression on the scores of other patients (a probe):\n\n",
        _table(found.probed, PROBED),
    ]
    if found.embedded:
        text += [
            "\nEmbeddings alone: likeness of two films against that of their zone scores (Spearman), and retrieval "
            f"between {found.notes} films of {found.noted_patients} patients and their notes in their own words "
            "(disease P@10, all queries; attribute AUC; own note or film against those of other patients, an AUC; "
            "cosine against the likeness of the notes' zones, Spearman):\n\n",
            _table(found.embedded, EMBEDDED),
            "\nThe same retrieval, notes as captions of what OBER reads in them, films and notes about the mean of "
            f"theirs; the first row of {found.scored_notes} films:\n\n",
            _table(found.captioned, NOTED),
        ]
    if OURS in found.prompted:
        text.append("\nMedTrim minus another row, paired; bold where the interval leaves out 0.\n")
        tables = (
            (found.prompted, PROMPTED),
            (found.probed, PROBED),
            (found.embedded, EMBEDDED),
            (found.captioned, NOTED),
        )
        for rows, columns in tables:
            if OURS in rows and len(rows) > 1:
                text += ["\n", _differences(rows, columns)]
    if found.chosen:
        rates = (f"{LABELS[m]} {c['rate']:g} ({c['validation']:.2f})" for m, c in found.chosen.items())
        text.append(f"\nLearning rates chosen on validation phantoms: {'; '.join(rates)}.\n")
    if fewer:
        text.append(f"\nWith fewer seeds: {', '.join(fewer)}; their intervals are over patients alone.\n")
    return "".join(text)


def short_markdown(found: Benchmark) -> str:
    """A few rows by text prompts, for a page that shows a result and not a study."""
    rows = {key: found.prompted[key] for key in SHORT if key in found.prompted}
    return _table(rows, PROBED)


def zone_facts(found: Benchmark) -> dict[str, Any]:
    """Every figure as plain data."""

    def rows(table: Mapping[str, Row]) -> dict[str, Any]:
        return {
            key: {
                name: {k: _plain(v) for k, v in asdict(figure.estimate()).items()}
                | {"seeds": [_plain(v) for v in figure.values.tolist()]}
                for name, figure in row.items()
            }
            for key, row in table.items()
        }

    return {
        "films": found.films,
        "patients": found.patients,
        "notes": found.notes,
        "noted_patients": found.noted_patients,
        "scored_notes": found.scored_notes,
        "chosen": {key: dict(value) for key, value in found.chosen.items()},
        "prompted": rows(found.prompted),
        "probed": rows(found.probed),
        "embedded": rows(found.embedded),
        "captioned": rows(found.captioned),
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _head(columns: Sequence[str]) -> str:
    return "| |" + "".join(f" {c} |" for c in columns) + "\n|---|" + "---|" * len(columns) + "\n"


def _table(rows: Mapping[str, Row], columns: Mapping[str, str]) -> str:
    lines = [_head(list(columns.values()))]
    for key, row in rows.items():
        cells = (_cell(row[name].estimate()) if name in row else "–" for name in columns)
        lines.append(f"| {LABELS[key]} |" + "".join(f" {cell} |" for cell in cells) + "\n")
    return "".join(lines)


def _differences(rows: Mapping[str, Row], columns: Mapping[str, str]) -> str:
    lines, ours = [_head(list(columns.values()))], rows[OURS]
    for key, row in rows.items():
        if key not in (OURS, "reader", "scores", "perfect"):
            cells = (_difference(ours[name].minus(row[name])) if name in row else "–" for name in columns)
            lines.append(f"| {LABELS[key]} |" + "".join(f" {cell} |" for cell in cells) + "\n")
    return "".join(lines)


def _cell(found: Estimate) -> str:
    return "–" if math.isnan(found.value) else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _difference(found: Estimate) -> str:
    if math.isnan(found.value):
        return "–"
    shown = f"{found.value:+.2f} ({found.low:.2f} to {found.high:.2f})"
    return f"**{shown}**" if found.low > 0 or found.high < 0 else shown
