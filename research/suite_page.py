"""A suite's results as Markdown in this repository's pages: the README's summary, a section of docs/results.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from medtrim.evaluation import DIRECTION_NAMES
from medtrim.experiments.report.markdown import (
    difference,
    difference_table,
    figures_table,
    lead,
    main_table,
    table,
    trial_text,
)
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import MAIN_DIRECTIONS, Key, Row
from medtrim.types.tables import atomic_path
from research.results import insert_block

SUMMARY_NAME = "results"
# Metric and direction of the README's columns; with two classifications and the method's name they are eight.
SUMMARY = (
    ("disease P@10", "i2t"),
    ("disease P@10", "t2i"),
    ("fine P@10", "i2t"),
    ("conflict-free @R", "i2t"),
    ("attribute AUC", "i2t"),
)
PAGE_HEAD = """# Results

Every section is a suite, made by `python -m research suite DIR --docs docs/results.md` from its results file; do
not edit. Details are folded.
"""


def summary(results: SuiteResults) -> str:
    """The README's block: one table of at most eight columns, and in a sentence how ours stands to the others."""
    held = results.headline
    keys = [key for metric, d in SUMMARY for key in held if (key.metric, key.direction) == (metric, d)]
    keys += [key for key in held if key.task != "retrieval"]
    parts = [lead(results), figures_table(results, keys, intervals=False), verdict_sentence(results)]
    if results.unseen is not None:
        parts.append(f"On {results.unseen.facts['corpus']['name']}: {verdict_sentence(results.unseen)}")
    return "\n\n".join(parts).strip() + "\n"


def verdict_sentence(results: SuiteResults) -> str:
    """On how many figures of the main table ours is better than the best other method, and on which it is not."""
    rows = results.of("best")
    if not rows:
        return ""
    named = {side: [r.key.full for r in rows if r.verdict == side] for side in ("better", "worse", "open")}
    parts = [f"better on {len(named['better'])} of {len(rows)} figures"]
    for side, word in (("worse", "worse on"), ("open", "undecided on")):
        if named[side]:
            parts.append(f"{word} {len(named[side])} ({'; '.join(named[side])})")
    return (
        f"**{results.label(results.facts['ours'])} against the best other method**, chosen by figure on the same "
        f"test studies, which favours the other: {', '.join(parts)}; p-values corrected by Holm."
    )


def folded(heading: str, body: str) -> str:
    """`body` behind a line that opens it."""
    return f"<details><summary>{heading}</summary>\n\n{body.strip()}\n\n</details>"


def docs_section(results: SuiteResults) -> str:
    """A suite's section of the docs page: the summary, then every table behind a line that opens it."""
    facts = results.facts
    seeds, versions = len(facts["seeds"]), facts["versions"]
    parts = [
        f"## {facts['title']}",
        f"Suite `{facts['name']}`, {seeds} training seed{'s' if seeds > 1 else ''}; MedTrim {versions['medtrim']}, "
        f"PyTorch {versions['torch']}.",
        summary(results),
        folded("All figures of the main table, with intervals and paired differences", main_table(results)),
        *(folded(heading, body) for heading, body in _details(results)),
    ]
    if facts["failures"]:
        parts.append("Runs that failed:\n\n" + "\n".join(f"* {f['run']}: {f['error']}" for f in facts["failures"]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write_docs_section(results: SuiteResults, path: Path) -> None:
    """Put the suite's section into the page at `path`, in the place of an older one, or else at its end.

    Another number of seeds is another section.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else PAGE_HEAD
    name = f"suite {results.facts['name']}, {len(results.facts['seeds'])} seeds"
    if f"<!-- {name}:begin -->" not in text:
        with atomic_path(path) as part:
            part.write_text(f"{text.rstrip()}\n\n<!-- {name}:begin -->\n<!-- {name}:end -->\n", encoding="utf-8")
    insert_block(path, name, docs_section(results))


def _details(results: SuiteResults) -> Iterator[tuple[str, str]]:
    """Heading and body of every detail."""
    for part in (
        _methods,
        _against_each,
        _unseen,
        _within,
        _normal,
        _zero_shot,
        _breakdown,
        _sweeps,
        _search,
        _effort,
    ):
        lines = list(part(results))
        heads = [i for i, line in enumerate(lines) if line.startswith("## ")]
        for i, after in zip(heads, [*heads, len(lines)][1:], strict=True):
            yield lines[i].removeprefix("## "), "\n\n".join(lines[i + 1 : after])


def _methods(results: SuiteResults) -> Iterator[str]:
    described = [(results.label(m), results.facts["methods"][m]["description"]) for m in results.methods]
    yield "## The methods"
    yield "\n".join(f"* {label}: {words}" for label, words in described if words)


def _against_each(results: SuiteResults) -> Iterator[str]:
    found = {(r.baseline, r.key): r for r in results.of("difference")}
    others = [m for m in results.methods if any((m, key) in found for key in results.headline)]
    if not others:
        return
    yield f"## {results.label(results.facts['ours'])} minus each other method"
    yield "Paired by patient and seed, 95 % intervals, not corrected for their number; ↓ lower is better."
    lines = [
        [
            key.full + key.mark,
            *[_difference(found.get((m, key))) for m in others],
        ]
        for key in results.headline
    ]
    yield table(["figure", *[results.label(m) for m in others]], lines)


def _unseen(results: SuiteResults) -> Iterator[str]:
    unseen = results.unseen
    if unseen is None:
        return
    corpus = unseen.facts["corpus"]
    yield "## On phantoms of another generator"
    yield (
        f"The same models on {corpus['name']}, {corpus['test_normal']:,} of {corpus['test']:,} studies normal, "
        "drawn with other prevalences, anatomy, texture, film and wording than those they were trained on. From "
        f"{100 * corpus['diseases_read_back']:.1f} % of their reports the recogniser reads the drawn diseases."
    )
    for direction in MAIN_DIRECTIONS:
        yield f"**{DIRECTION_NAMES[direction][0].upper()}{DIRECTION_NAMES[direction][1:]}**"
        yield figures_table(unseen, [key for key in unseen.headline if key.direction == direction])
    zero_shot = [key for key in unseen.headline if key.task == "zero-shot"]
    if zero_shot:
        yield figures_table(unseen, zero_shot)
    yield verdict_sentence(unseen)
    if unseen.of("best"):
        yield difference_table(unseen)


def _within(results: SuiteResults) -> Iterator[str]:
    for direction in ("i2i", "t2t"):
        keys = [k for k in results.headline if k.direction == "i2t"]
        turned = [replace(k, direction=direction) for k in keys]
        if any(results.pooled(m, k) for m in results.methods for k in turned):
            yield f"## Within one modality: {DIRECTION_NAMES[direction]}"
            yield figures_table(results, turned)


def _normal(results: SuiteResults) -> Iterator[str]:
    keys = [
        Key("retrieval", metric, d, "normal") for d in MAIN_DIRECTIONS for metric in ("disease P@1", "disease P@10")
    ]
    if not any(results.pooled(m, k) for m in results.methods for k in keys):
        return
    corpus = results.facts["corpus"]
    yield "## Normal queries, and those with a finding"
    yield (
        "The main table is of all queries. A normal study should find normal ones: "
        f"{100 * corpus['test_normal'] / corpus['test']:.0f} % of the gallery are."
    )
    lines = [[results.label(m), *[_value(results.pooled(m, key)) for key in keys]] for m in results.methods]
    yield table(["method", *[key.full for key in keys]], lines)
    yield "Queries with a finding:"
    retrieval = [key for key in results.headline if key.direction]
    yield figures_table(results, [replace(key, queries="abnormal") for key in retrieval])
    yield (
        "P@10 divides by min(10, how many relevant studies there are) and leaves out queries without any; over all "
        "queries and divided by ten it is:"
    )
    cut = [key for key in retrieval if key.metric in ("disease P@10", "fine P@10")]
    yield figures_table(results, [replace(key, metric=f"plain {key.metric}") for key in cut])


def _zero_shot(results: SuiteResults) -> Iterator[str]:
    held = {
        (r.label, r.method): r
        for r in results.of("pooled")
        if (r.task, r.metric) == ("zero-shot", "AUROC") and r.label != "macro"
    }
    if not held:
        return
    yield "## Zero-shot by class"
    yield "AUROC; the main table has the mean. Below 50 a prompt and its class are the wrong way round."
    lines = [
        [name, *[_value(held.get((name, m))) for m in results.methods]] for name in sorted({n for n, _ in held})
    ]
    yield table(["class", *[results.label(m) for m in results.methods]], lines)


def _breakdown(results: SuiteResults) -> Iterator[str]:
    rows = [r for r in results.of("breakdown") if r.metric == "fine P@10" and r.direction == "i2t"]
    if not rows:
        return
    yield "## By disease and descriptor"
    yield "fine P@10, image→text, of queries that have the disease, or the descriptor on any disease."
    held = {(r.method, r.label): r for r in rows}
    labels = sorted({r.label for r in rows}, key=lambda name: (not name.startswith("disease"), name))
    counts = {r.label: r.n for r in rows}
    lines = [[la, str(counts[la]), *[_value(held.get((m, la))) for m in results.methods]] for la in labels]
    yield table(["queries with", "n", *[results.label(m) for m in results.methods]], lines)


def _sweeps(results: SuiteResults) -> Iterator[str]:
    rows = results.of("sweep")
    if not rows:
        return
    yield "## Sensitivity"
    yield (
        "One thing changed at a time. Image→text / text→image; means over the sweep's seeds; bold is the value "
        "that the tables above are made with; ± is half of the 95 % interval from resampling patients, averaged "
        "over the values; ↓ lower is better."
    )
    finals = {(r.method, r.seed, r.key): r.value for r in results.of("seed")}
    headings: dict[str, list[Key]] = {}
    for key in results.headline:
        headings.setdefault(key.heading + key.mark, []).append(key)

    def cells(rows: Sequence[Row], value: Callable[[Row], float]) -> list[str]:
        return [
            " / ".join(_mean(value(r) for r in rows if r.key == key) for key in keys) for keys in headings.values()
        ]

    for title in dict.fromkeys(r.sweep for r in rows):
        own = [r for r in rows if r.sweep == title and r.key in results.headline]
        lines = []
        for x in dict.fromkeys(r.x for r in own):
            at = [r for r in own if r.x == x]
            as_above = all(r.value != r.value or finals.get((r.method, r.seed, r.key)) == r.value for r in at)
            lines.append([f"**{x:g}**" if as_above else f"{x:g}", *cells(at, lambda r: r.value)])
        lines.append(["±", *cells(own, lambda r: (r.high - r.low) / 2)])
        yield f"**{title}** ({results.label(own[0].method)})"
        yield table(["value", *headings], lines)


def _mean(values: Iterable[float]) -> str:
    """The mean of shares, in percent."""
    held = list(values)
    return f"{100 * fmean(held):.1f}" if held else "–"


def _search(results: SuiteResults) -> Iterator[str]:
    search, tuning = results.facts["search"], results.facts["tuning"]
    if not search:
        return
    yield "## The search"
    yield (
        f"{tuning['trials']} trials a method on the validation split, seed {tuning['seed']}, by the mean of "
        f"{', '.join(tuning['metrics'])} over {', '.join(DIRECTION_NAMES[d] for d in tuning['directions'])}."
    )
    lines = [
        [
            results.label(t["method"]),
            ", ".join(f"{key} = {value}" for key, value in t["point"].items()) or "as written",
            trial_text(t),
            "chosen" if t["chosen"] else "",
        ]
        for t in sorted(search, key=lambda t: (results.facts["order"].index(t["method"]), t["trial"]))
    ]
    yield table(["method", "trial", "score", ""], lines, words=2)


def _effort(results: SuiteResults) -> Iterator[str]:
    yield "## Effort"
    facts = {m: results.facts["runs"][m] for m in results.methods}
    lines = [
        [results.label(m), f"{f['encodings']:,.0f}", f"{f['steps']:,.0f}", f"{f['seconds']:,.0f} s"]
        for m, f in facts.items()
    ]
    yield "Means over the seeds; time includes evaluation."
    yield table(["method", "study encodings", "steps", "time a run"], lines)


def _difference(row: Row | None) -> str:
    return "–" if row is None or row.value != row.value else difference(row)


def _value(row: Row | None) -> str:
    return "–" if row is None else row.key.info.show(row.value)
