"""Sentences about the results, computed from the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from medtrim.evaluation import DIRECTION_NAMES
from medtrim.evaluation.metric_info import metric_info
from medtrim.evaluation.verdicts import decide
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import QUERIES, Row

FEW_QUERIES = 100
FEW_STUDIES = 1000
FEW_PASSES = 2
WIDE_INTERVAL = 0.10
"""Half an interval of 10 points: a difference of 10 points could be chance."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence or two about the results, and what they list; `kind` decides how prominently they are shown."""

    kind: Literal["gain", "loss", "open", "caution", "note"]
    text: str
    items: tuple[str, ...] = ()


def remarks(results: SuiteResults) -> tuple[Remark, ...]:
    """Everything that the page says in words about `results`, cautions first where the data are too small."""
    return (
        *_size(results),
        *_comparison(results),
        *_within(results),
        *_normal_queries(results),
        *_score_alone(results),
        *_chance(results),
        *_standing(results),
        *_tuning(results),
        *_corpus(results),
    )


def too_small(results: SuiteResults) -> bool:
    """Whether the corpus cannot carry a conclusion: too few test queries with a finding, or intervals too wide."""
    half = _median_half_width(results)
    return _queries(results) < FEW_QUERIES or (half is not None and half > WIDE_INTERVAL)


def budget_words(results: SuiteResults) -> str:
    """What was equal in training. Batches are only where all methods sample them in the same way."""
    same = (
        "Equal budget: the same encoders from the same weights, the same augmentation, schedule and number of study"
        " encodings."
    )
    methods = [results.facts["methods"][m] for m in results.methods]
    if len(methods) < 2:
        return same
    ways: dict[str, list[str]] = {}
    for method in methods:
        ways.setdefault(_sampling(method), []).append(method["label"])
    if len(ways) == 1:
        return f"{same} The batches are the same too, in the same order."
    parts = [
        f"those of {_listing(labels)} {way}{', in the same order' if len(labels) > 1 else ''}"
        for way, labels in ways.items()
    ]
    return f"{same} The batches are not the same: {', '.join(parts)}."


def _queries(results: SuiteResults) -> int:
    corpus = results.facts["corpus"]
    return int(corpus["test"]) - int(corpus["test_normal"])


def _size(results: SuiteResults) -> Iterator[Remark]:
    corpus, scratch = results.facts["corpus"], results.facts["from_scratch"]
    half = _median_half_width(results)
    width = f" Half of a typical 95 % interval is ± {100 * half:.0f} points." if half is not None else ""
    if too_small(results):
        yield Remark(
            "caution",
            "This corpus is far too small to compare methods on:"
            f" {_count(corpus['test'], 'test query', 'test queries')}, {_queries(results):,} of them with a"
            f" finding, of {_count(corpus['test_patients'], 'patient', 'patients')}.{width}"
            " Read the numbers as a proof that the path works on these data, not as a result.",
        )
    if corpus["train"] < FEW_STUDIES and scratch:
        seen = _count(corpus["train"], "study", "different studies")
        yield Remark(
            "caution",
            f"The encoders started from random weights and saw {seen}: too few to learn to read a radiograph."
            " Start from pretrained encoders, or bring more data.",
        )
    encodings = [results.facts["runs"][m]["encodings"] for m in results.methods]
    passes = min(encodings, default=0) / max(1, corpus["train"])
    if scratch and 0 < passes < FEW_PASSES:
        yield Remark(
            "caution",
            f"The training was short: each study was seen {passes:.1f} times. Give it more steps or epochs before"
            " comparing anything.",
        )
    if not results.of("pooled"):
        yield Remark("caution", "Nothing could be measured: the test split is empty.")


def _comparison(results: SuiteResults) -> Iterator[Remark]:
    """How ours stands to the best other method, over the figures of the main table."""
    found = results.of("best")
    differences = [r for r in found if math.isfinite(r.high - r.low)]
    if len(differences) < len(found):
        without = f"{len(found) - len(differences)} of {len(found)}"
        yield Remark("caution", f"{without} headline differences have no interval: nothing is said of them.")
    if not differences:
        return
    ours, theirs = results.label(results.facts["ours"]), _rival(results)
    sides = {side: [r for r in differences if r.verdict == side] for side in ("better", "worse", "open")}
    total = len(differences)
    of_total = f"of {total} headline figures (paired, in points; p corrected over them):"
    if too_small(results) and (sides["better"] or sides["worse"]):
        text = (
            f"Of {total} headline differences {len(sides['better'])} would put {ours} ahead of {theirs},"
            f" {len(sides['worse'])} behind. On so few patients bootstrap intervals are too narrow:"
            " this settles nothing."
        )
        yield Remark("open", text, _by_metric([*sides["better"], *sides["worse"]]))
        return
    if sides["better"]:
        text = f"{ours} is ahead of {theirs} on {len(sides['better'])} {of_total}"
        yield Remark("gain", text, _by_metric(sides["better"]))
    if sides["worse"]:
        text = f"{ours} is behind {theirs} on {len(sides['worse'])} {of_total}"
        yield Remark("loss", text, _by_metric(sides["worse"]))
    if sides["open"]:
        reason = "the interval of the difference holds 0, or its corrected p is above 0.05:"
        text = f"Undecided on {len(sides['open'])} of {total}; {reason}"
        if len(sides["open"]) == total:
            text = f"{ours} cannot be told from {theirs} on any of {total} headline figures; {reason}"
        yield Remark("open", text, _by_metric(sides["open"]))


def _within(results: SuiteResults) -> Iterator[Remark]:
    """The headline metrics within one modality, which are not in the main table, against the first other method."""
    metrics = dict.fromkeys(key.metric for key in results.headline if metric_info(key.metric).headline)
    found = [r for m in metrics for r in _differences(results, m) if r.direction in ("i2i", "t2t")]
    if found and not too_small(results):
        text = (
            f"Within one modality, {results.label(results.facts['ours'])} − {results.label(found[0].baseline)}"
            " (paired, in points; not part of the headline, and no p is corrected):"
        )
        yield Remark("note", text, _by_metric(found))


def _normal_queries(results: SuiteResults) -> Iterator[Remark]:
    """What the headline averages over: whether normal studies find normal ones worse than with the first rival."""
    found = _decided(_differences(results, "disease P@10", queries="normal"))
    worse = [r for r in found if r.verdict == "worse"]
    if worse and not too_small(results):
        yield Remark(
            "loss",
            f"Among normal queries alone {results.label(results.facts['ours'])} is behind"
            f" {results.label(worse[0].baseline)} in {len(worse)} of {len(found)} directions (paired, in points):",
            _by_metric(worse),
        )


def _score_alone(results: SuiteResults) -> Iterator[Remark]:
    found = _decided([*_differences(results, "nDCG@10"), *_differences(results, "attribute AUC")])
    gained = {(r.metric, r.direction) for r in found if r.verdict == "better"}
    alone = [
        name
        for direction, name in DIRECTION_NAMES.items()
        if ("nDCG@10", direction) in gained and ("attribute AUC", direction) not in gained
    ]
    if alone:
        yield Remark(
            "note",
            f"In {_listing(alone)}, nDCG@10 rises while attribute AUC does not: the gain there is in diseases, not"
            " in side, zone, size or severity.",
        )


def _chance(results: SuiteResults) -> Iterator[Remark]:
    for method in results.methods:
        held = {
            r.direction: r
            for r in results.of("pooled")
            if (r.method, r.metric, r.queries) == (method, "attribute AUC", QUERIES)
        }
        chance = [name for d, name in DIRECTION_NAMES.items() if d in held and held[d].low <= 0.5 <= held[d].high]
        if chance:
            yield Remark(
                "caution",
                f"{results.label(method)} tells descriptors apart no better than chance in {_listing(chance)}"
                " (the interval of attribute AUC holds 50).",
            )


def _standing(results: SuiteResults) -> Iterator[Remark]:
    if len(results.methods) > 1 and len(results.facts["seeds"]) == 1:
        yield Remark(
            "note",
            "Each method was trained once, with one seed. The intervals are over test patients only:"
            " they say nothing of how a method varies from one training to the next.",
        )


def _tuning(results: SuiteResults) -> Iterator[Remark]:
    methods = [results.facts["methods"][m] for m in results.methods]
    ways: dict[str, list[str]] = {}
    for method in methods:
        rates = method.get("rates")
        ways.setdefault(method["tuning"], []).append(f"{method['label']} ({rates})" if rates else method["label"])
    lines = tuple(f"{', '.join(labels)}: {way}" for way, labels in ways.items() if way)
    if lines:
        yield Remark("note", "How the peak learning rates were chosen:", lines)
    searched = tuple(f"{m['label']}: {m['caution']}" for m in methods if m["caution"])
    if searched and len(methods) > 1:
        yield Remark(
            "caution",
            "Some settings were searched for one method alone. Their number counts in its favour:",
            searched,
        )


def _corpus(results: SuiteResults) -> Iterator[Remark]:
    corpus = results.facts["corpus"]
    if corpus["drawn"]:
        yield Remark(
            "note",
            "The studies are drawn phantoms with generated reports. They show whether a method can learn side, size"
            " and severity where these are known; they say nothing about patients.",
        )
    elif corpus["reference"] == "annotations":
        yield Remark(
            "note",
            "These studies have no labels: what is relevant is what the recogniser reads in the reports."
            " Where it errs, so does this truth, in favour of methods trained on its findings.",
        )
    if corpus["rejects"]:
        yield Remark(
            "caution",
            f"{_count(corpus['rejects'], 'record', 'records')} could not be used;"
            " corpus/rejects.parquet lists each with the reason.",
        )


def _differences(results: SuiteResults, metric: str, *, queries: str = QUERIES) -> list[Row]:
    """Ours − the first other method, a row a direction, as far as they are defined."""
    rivals = [m for m in results.facts["rivals"] if m in results.methods]
    found = {
        r.direction: r
        for r in results.of("difference")
        if rivals and (r.baseline, r.metric, r.queries) == (rivals[0], metric, queries) and r.value == r.value
    }
    return [found[d] for d in DIRECTION_NAMES if d in found]


def _decided(rows: Sequence[Row]) -> list[Row]:
    """`rows` as a family of their own, with their corrected p-values."""
    return [replace(row, p_holm=d.p_corrected) for row, d in zip(rows, decide(rows), strict=True)]


def _rival(results: SuiteResults) -> str:
    rivals = [m for m in results.facts["rivals"] if m in results.methods]
    return results.label(rivals[0]) if len(rivals) == 1 else "the best other method"


def _by_metric(rows: Iterable[Row]) -> tuple[str, ...]:
    """One line a metric: its directions, each with the difference and its interval."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        info = row.key.info
        low, high = info.show(row.low, signed=True), info.show(row.high, signed=True)
        where = f"{DIRECTION_NAMES[row.direction]} " if row.direction else ""
        shown = f"{where}{info.show(row.value, signed=True)} ({low} to {high})"
        lines.setdefault(row.key.heading + row.key.mark, []).append(shown)
    return tuple(f"{name}: {', '.join(shown)}" for name, shown in lines.items())


def _sampling(method: Mapping[str, Any]) -> str:
    """How the batches of a method are filled."""
    if method["sampler"] == "triplets":
        return "are filled with mined triplets"
    if method["normals"] < 1:
        return f"take {method['normals']:.0%} of the normal studies an epoch, sampled anew, and all others"
    return "take every study once an epoch"


def _median_half_width(results: SuiteResults) -> float | None:
    keys = {key for key in results.headline if key.task == "retrieval"}
    widths = sorted(
        (r.high - r.low) / 2 for r in results.of("pooled") if r.key in keys and math.isfinite(r.high - r.low)
    )
    return widths[len(widths) // 2] if widths else None


def _listing(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
