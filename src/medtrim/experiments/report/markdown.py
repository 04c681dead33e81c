"""The main table as Markdown, and the words and numbers that it shares with the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medtrim.evaluation import DIRECTION_NAMES
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Key, Row


def main_table(results: SuiteResults) -> str:
    """Markdown of the main table: a table a direction, one for classification, and the paired differences."""
    parts = [lead(results)]
    keys = results.headline
    for direction in dict.fromkeys(k.direction for k in keys):
        of_direction = [k for k in keys if k.direction == direction]
        title = DIRECTION_NAMES[direction] if direction else "classification of images"
        parts += [f"**{title[0].upper()}{title[1:]}**", figures_table(results, of_direction)]
    if results.of("best"):
        parts += [_difference_lead(results), difference_table(results)]
    return "\n\n".join(parts) + "\n"


def lead(results: SuiteResults) -> str:
    """What the figures are of, in a sentence or two."""
    corpus, seeds = results.facts["corpus"], results.facts["seeds"]
    resampled = results.facts["evaluation"]["seed_variation"] == "resampled" and len(seeds) > 1
    tested = f"{corpus['test']:,} of {corpus['test_patients']:,}"
    normal = f"({corpus['test_normal']:,} normal studies among them)"
    if folds := corpus.get("folds"):
        of = (
            f"{folds}-fold cross-validation by patient, {tested} patients {normal}, each tested in the gallery of "
            f"its own fold by a model trained on other folds ({corpus['train']:,} studies or more)"
        )
    else:
        of = f"{corpus['train']:,} studies to train on, {tested} other patients to test {normal}"
    return (
        f"{corpus['name']}: {of}. Percent, mean of {len(seeds)} training seed{'s' if len(seeds) > 1 else ''}, 95 % "
        f"intervals over patients, as queries and in the gallery{', and training seeds' if resampled else ''}; all "
        "queries, each without its own study in the gallery; P@10 divides by min(10, relevant studies); ↓ lower is "
        f"better; the best of a column is bold.{_start(results)}"
    )


def _start(results: SuiteResults) -> str:
    start = results.facts["suite"].get("start")
    if start is None:
        return ""
    return (
        f" Every method goes on from the same encoders, which `{start['objective']}` has trained on "
        f"{start['phantom']['studies']:,} other phantoms."
    )


def figures_table(results: SuiteResults, keys: Sequence[Key], *, intervals: bool = True) -> str:
    """A line a method, a column a figure; without `intervals` headings name the direction too."""
    best = {key: best_methods(results, key) for key in keys}
    lines = []
    for method in results.methods:
        cells = [_cell(results.pooled(method, key), bold=method in best[key], interval=intervals) for key in keys]
        label = results.label(method)
        lines.append([f"**{label}**" if method == results.facts["ours"] else label, *cells])
    return table(["method", *[(key.heading if intervals else key.full) + key.mark for key in keys]], lines)


def difference_table(results: SuiteResults) -> str:
    """Ours against the best other method, a line a figure of the main table."""
    lines = []
    for row in results.of("best"):
        words = "–" if row.verdict == "open" else row.verdict
        lines.append([row.key.full, results.label(row.baseline), difference(row), p_text(row.p_holm), words])
    return table(["figure", "best other", "difference", "p, Holm", ""], lines, words=2)


def difference(row: Row) -> str:
    """A difference with its interval, signs and all."""
    value, low, high = (row.key.info.show(v, signed=True) for v in (row.value, row.low, row.high))
    return f"{value} ({low} to {high})"


def p_text(p: float) -> str:
    """A p-value as it is printed."""
    return "–" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _difference_lead(results: SuiteResults) -> str:
    return (
        f"**{results.label(results.facts['ours'])} against the best other method**, chosen by figure on the same "
        "test studies, which favours the other. Paired by patient and seed; p-values corrected by Holm over these "
        "lines."
    )


def best_methods(results: SuiteResults, key: Key) -> frozenset[str]:
    """The methods that share the best value of a figure, as it is printed."""
    found = {m: row.value for m in results.methods if (row := results.pooled(m, key)) and row.value == row.value}
    if not found:
        return frozenset()
    top = max(found.values()) if key.info.better == "higher" else min(found.values())
    return frozenset(m for m, value in found.items() if key.info.show(value) == key.info.show(top))


def _cell(row: Row | None, *, bold: bool, interval: bool) -> str:
    if row is None or row.value != row.value:
        return "–"
    show = row.key.info.show
    value = f"**{show(row.value)}**" if bold else show(row.value)
    return f"{value} ({show(row.low)}–{show(row.high)})" if interval and row.low == row.low else value


def trial_text(trial: Mapping[str, Any]) -> str:
    """The score of a trial in percent, or why it has none."""
    if trial["score"] is not None:
        return f"{100 * trial['score']:.1f}"
    return "failed" if trial["error"] else "undefined"


def table(head: Sequence[str], lines: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table: words in the first columns, numbers in the others."""
    rows = [" | ".join(head), " | ".join(["---"] * words + ["---:"] * (len(head) - words))]
    rows += [" | ".join(line) for line in lines]
    return "\n".join(f"| {row} |" for row in rows)
