"""Markdown from the results file, never typed: the README's table, the tables and sections of the docs page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medtrim.errors import ConfigError
from medtrim.evaluation import DIRECTION_NAMES
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import Key, Row
from medtrim.types.tables import atomic_path

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
# Metric and direction of the README's columns; with two classifications and the method's name they are eight.
SUMMARY = (
    ("disease P@10", "i2t"),
    ("disease P@10", "t2i"),
    ("fine P@10", "i2t"),
    ("conflict-free @R", "i2t"),
    ("attribute AUC", "i2t"),
)


def summary(results: SuiteResults) -> str:
    """The README's block: one table of at most eight columns, and in a sentence how ours stands to the others."""
    return "\n\n".join([lead(results), summary_table(results), verdict_sentence(results)]).strip() + "\n"


def summary_table(results: SuiteResults) -> str:
    """A line a method, the figures of `SUMMARY` and the means of both classifications, without intervals."""
    held = results.headline
    keys = [key for metric, d in SUMMARY for key in held if (key.metric, key.direction) == (metric, d)]
    keys += [key for key in held if key.task != "retrieval"]
    best = {key: best_methods(results, key) for key in keys}
    lines = []
    for method in results.methods:
        cells = [_value(results.pooled(method, key), bold=method in best[key]) for key in keys]
        lines.append([_method_label(results, method), *cells])
    return table(["method", *[key.full + key.mark for key in keys]], lines)


def verdict_sentence(results: SuiteResults) -> str:
    """On how many figures of the main table ours is better than the best other method, and on which it is not."""
    rows = results.of("best")
    if not rows:
        return ""
    named = {side: [r.key.full for r in rows if r.verdict == side] for side in ("better", "worse", "open")}
    return verdict_words(results.label(results.facts["ours"]), named)


def verdict_words(ours: str, named: Mapping[str, Sequence[str]]) -> str:
    """The sentence of `verdict_sentence`; `named` are figures by verdict."""
    total = sum(map(len, named.values()))
    parts = [f"better on {len(named['better'])} of {total} figures"]
    for side, word in (("worse", "worse on"), ("open", "undecided on")):
        if named[side]:
            parts.append(f"{word} {len(named[side])} ({'; '.join(named[side])})")
    return (
        f"**{ours} against the best other method**, chosen by figure on the same test studies, which favours it: "
        f"{', '.join(parts)}; p-values corrected by Holm."
    )


def folded(heading: str, body: str) -> str:
    """`body` behind a line that opens it."""
    return f"<details><summary>{heading}</summary>\n\n{body.strip()}\n\n</details>"


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
    return (
        f"{corpus['name']}: {corpus['train']:,} studies to train on, {corpus['test']:,} of "
        f"{corpus['test_patients']:,} other patients to test ({corpus['test_normal']:,} normal studies "
        f"among them). Percent, mean of {len(seeds)} training seed{'s' if len(seeds) > 1 else ''}, 95 % intervals "
        f"over patients, as queries and in the gallery{', and training seeds' if resampled else ''}; all queries, "
        "each without its own study in the gallery; P@10 divides by min(10, relevant studies); ↓ lower is better; "
        f"the best of a column is bold.{_start(results)}"
    )


def _start(results: SuiteResults) -> str:
    start = results.facts["suite"].get("start")
    if start is None:
        return ""
    return (
        f" Every method goes on from the same encoders, which `{start['objective']}` has trained on "
        f"{start['phantom']['studies']:,} other phantoms."
    )


def figures_table(results: SuiteResults, keys: Sequence[Key]) -> str:
    """A line a method, a column a figure."""
    headings = [key.heading + key.mark for key in keys]
    best = {key: best_methods(results, key) for key in keys}
    lines = []
    for method in results.methods:
        cells = [_cell(results.pooled(method, key), bold=method in best[key]) for key in keys]
        lines.append([_method_label(results, method), *cells])
    return table(["method", *headings], lines)


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


def insert_between(text: str, block: str, *, source: str, begin: str = BEGIN, end: str = END) -> str:
    """`text` with what lies between the two markers replaced by `block`.

    Raises:
        ConfigError: the markers are not there once each, in order.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ConfigError(f"{source}: needs the lines {begin} and {end}, once each and in this order")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{block.strip()}\n{end}{after}"


def insert_into(path: Path, block: str) -> None:
    """`insert_between` in a file, atomically."""
    text = insert_between(path.read_text(encoding="utf-8"), block, source=str(path))
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _difference_lead(results: SuiteResults) -> str:
    return (
        f"**{results.label(results.facts['ours'])} against the best other method**, chosen by figure on the same "
        "test studies, which favours it. Paired by patient and seed; p-values corrected by Holm over these lines."
    )


def best_methods(results: SuiteResults, key: Key) -> frozenset[str]:
    """The methods that share the best value of a figure, as it is printed."""
    found = {m: row.value for m in results.methods if (row := results.pooled(m, key)) and row.value == row.value}
    if not found:
        return frozenset()
    top = max(found.values()) if key.info.better == "higher" else min(found.values())
    return frozenset(m for m, value in found.items() if key.info.show(value) == key.info.show(top))


def _method_label(results: SuiteResults, method: str) -> str:
    text = results.label(method)
    return f"**{text}**" if method == results.facts["ours"] else text


def _value(row: Row | None, *, bold: bool) -> str:
    if row is None or row.value != row.value:
        return "–"
    shown = row.key.info.show(row.value)
    return f"**{shown}**" if bold else shown


def _cell(row: Row | None, *, bold: bool) -> str:
    if row is None or row.value != row.value:
        return "–"
    info = row.key.info
    value = f"**{info.show(row.value)}**" if bold else info.show(row.value)
    return f"{value} ({info.show(row.low)}–{info.show(row.high)})" if row.low == row.low else value


def table(head: Sequence[str], lines: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table: words in the first columns, numbers in the others."""
    rows = [" | ".join(head), " | ".join(["---"] * words + ["---:"] * (len(head) - words))]
    rows += [" | ".join(line) for line in lines]
    return "\n".join(f"| {row} |" for row in rows)
