"""What the numbers allow one to say, in words: computed from the figures, never typed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from medtrim.evaluation.metric_info import metric_info
from medtrim.experiments.results import DIRECTIONS, Figure, Queries, Results
from medtrim.experiments.tables import find, headline_metrics, verdict_of
from medtrim.experiments.training_words import advantages, tuning_lines

FEW_QUERIES = 100
FEW_STUDIES = 1000
FEW_PASSES = 2
WIDE_INTERVAL = 0.10
"""Half an interval of 10 points: a difference of 10 points could be chance."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence or two about the results, and what they list; `kind` decides how loud they are shown."""

    kind: Literal["gain", "loss", "open", "caution", "note"]
    text: str
    items: tuple[str, ...] = ()


def remarks(results: Results) -> tuple[Remark, ...]:
    """Everything the report says in words about `results`, cautions first where the data are too small."""
    return (
        *_size(results),
        *_comparison(results),
        *_normal_queries(results),
        *_score_alone(results),
        *_chance(results),
        *_standing(results),
    )


def headline_differences(results: Results) -> list[Figure]:
    """The paired difference ours − baseline of every headline metric and direction, abnormal queries."""
    return _differences(results, [info.key for info in headline_metrics()], queries="abnormal")


def _differences(results: Results, metrics: Sequence[str], *, queries: Queries) -> list[Figure]:
    wanted = [
        find(
            results,
            task="retrieval",
            method=results.ours,
            baseline=results.baseline,
            queries=queries,
            direction=direction,
            metric=metric,
        )
        for metric in metrics
        for direction in DIRECTIONS
    ]
    return [figure for figure in wanted if figure is not None]


def too_small(results: Results) -> bool:
    """Whether the corpus cannot carry a conclusion: too few test queries, or intervals too wide."""
    queries = results.corpus.test - results.corpus.test_normal
    half = _median_half_width(results)
    return queries < FEW_QUERIES or (half is not None and half > WIDE_INTERVAL)


def _size(results: Results) -> Iterable[Remark]:
    corpus = results.corpus
    queries = corpus.test - corpus.test_normal
    half = _median_half_width(results)
    width = f" Half of a typical 95 % interval is ± {100 * half:.0f} points." if half is not None else ""
    if too_small(results):
        yield Remark(
            "caution",
            f"This corpus is far too small to judge a method on:"
            f" {_count(queries, 'abnormal test query', 'abnormal test queries')} in a test split of"
            f" {_count(corpus.test_patients, 'patient', 'patients')}.{width}"
            " Read the numbers as a proof that the path works on these data, not as a result.",
        )
    if corpus.train < FEW_STUDIES and results.from_scratch:
        seen = _count(corpus.train, "study", "different studies")
        yield Remark(
            "caution",
            f"The encoders started from random weights and saw {seen}: too few to learn to read a radiograph."
            " Start from pretrained encoders, or bring more data.",
        )
    passes = min((m.encodings for m in results.methods), default=0) / max(1, corpus.train)
    if results.from_scratch and 0 < passes < FEW_PASSES:
        yield Remark(
            "caution",
            f"The training was short: each study was seen {passes:.1f} times. Give it more steps or epochs before"
            " comparing anything.",
        )
    if not results.figures:
        yield Remark("caution", "Nothing could be measured: the test split is empty.")


def _comparison(results: Results) -> Iterable[Remark]:
    found = headline_differences(results)
    differences = [f for f in found if math.isfinite(f.high - f.low)]
    if len(differences) < len(found):
        without = f"{len(found) - len(differences)} of {len(found)}"
        yield Remark("caution", f"{without} headline differences have no interval: nothing is said of them.")
    if not differences:
        return
    ours, theirs = results.label(results.ours), results.label(results.baseline)
    sides: dict[str, list[Figure]] = {"better": [], "worse": [], "open": []}
    for figure in differences:
        sides[verdict_of(figure, metric_info(figure.metric))].append(figure)
    of_total = f"of {len(differences)} headline figures (paired, in points):"
    if too_small(results) and (sides["better"] or sides["worse"]):
        ahead, behind = len(sides["better"]), len(sides["worse"])
        text = (
            f"Of {len(differences)} headline intervals {ahead} would put {ours} ahead of {theirs}, {behind} behind."
            " On so few patients bootstrap intervals are too narrow, and some of so many leave 0 out by chance:"
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
        text = f"Undecided on {len(sides['open'])} of {len(differences)}; these intervals of the difference hold 0:"
        if len(sides["open"]) == len(differences):
            text = f"{ours} cannot be told from {theirs}: every interval of the paired difference holds 0:"
        yield Remark("open", text, _by_metric(sides["open"]))


def _normal_queries(results: Results) -> Iterable[Remark]:
    """What the headline leaves out: whether normal studies find normal ones worse than with the baseline."""
    found = _differences(results, ["disease P@10"], queries="normal")
    worse = [f for f in found if verdict_of(f, metric_info(f.metric)) == "worse"]
    if worse and not too_small(results):
        yield Remark(
            "loss",
            f"The headline leaves normal queries out. With those {results.label(results.ours)} is behind"
            f" {results.label(results.baseline)} in {len(worse)} of {len(found)} directions (paired, in points):",
            _by_metric(worse),
        )


def _by_metric(figures: Sequence[Figure]) -> tuple[str, ...]:
    """One line a metric: its directions, each with the difference and its interval."""
    lines: dict[str, list[str]] = {}
    for figure in figures:
        info = metric_info(figure.metric)
        low, high = info.show(figure.low, signed=True), info.show(figure.high, signed=True)
        shown = f"{figure.direction} {info.show(figure.value, signed=True)} ({low} to {high})"
        lines.setdefault(info.headline, []).append(shown)
    return tuple(f"{name}: {', '.join(shown)}" for name, shown in lines.items())


def _score_alone(results: Results) -> Iterable[Remark]:
    alone = [d for d in DIRECTIONS if _gained(results, "nDCG@10", d) and not _gained(results, "attribute AUC", d)]
    if alone:
        yield Remark(
            "note",
            f"In {_listing(alone)}, nDCG@10 rises while attribute AUC does not: the gain there is in diseases, not"
            " in side, zone, size or severity.",
        )


def _gained(results: Results, metric: str, direction: str) -> bool:
    figure = find(
        results,
        task="retrieval",
        method=results.ours,
        baseline=results.baseline,
        queries="abnormal",
        direction=direction,
        metric=metric,
    )
    return figure is not None and verdict_of(figure, metric_info(metric)) == "better"


def _chance(results: Results) -> Iterable[Remark]:
    for method in results.methods:
        blind = []
        for direction in DIRECTIONS:
            figure = find(
                results,
                task="retrieval",
                method=method.key,
                queries="abnormal",
                direction=direction,
                metric="attribute AUC",
            )
            if figure is not None and figure.low <= 0.5 <= figure.high:
                blind.append(direction)
        if blind:
            yield Remark(
                "caution",
                f"{method.label} tells descriptors apart no better than chance in {_listing(blind)}"
                " (the interval of attribute AUC holds 50).",
            )


def _standing(results: Results) -> Iterable[Remark]:
    if len(results.methods) > 1:
        yield Remark(
            "note",
            "Each method was trained once, with one seed. The intervals are over test patients only:"
            " they say nothing of how a method varies from one training to the next, and no correction is made for"
            " the number of comparisons.",
        )
    yield from _tuning(results)
    if results.corpus.drawn:
        yield Remark(
            "note",
            "The studies are drawn phantoms with generated reports. They show whether a method can learn side, size"
            " and severity where these are known; they say nothing about patients.",
        )
    else:
        yield Remark(
            "note",
            "Nobody has labelled these studies: relevance is judged by the findings that the recogniser reads in"
            " the reports. Where it errs, so does this truth, in favour of methods trained on its findings.",
        )
    if results.corpus.rejects:
        yield Remark(
            "caution",
            f"{_count(results.corpus.rejects, 'record', 'records')} could not be used;"
            " rejects.parquet lists each with the reason.",
        )


def _tuning(results: Results) -> Iterable[Remark]:
    lines = tuning_lines(results)
    if lines:
        yield Remark("note", "How the peak learning rates were chosen:", lines)
    searched = tuple(advantages(results))
    if searched:
        yield Remark(
            "caution",
            "Some settings were searched for one method alone. Their number counts in its favour:",
            searched,
        )


def _median_half_width(results: Results) -> float | None:
    keys = {info.key for info in headline_metrics()}
    widths = sorted(
        (f.high - f.low) / 2
        for f in results.figures
        if f.task == "retrieval"
        and f.queries == "abnormal"
        and not f.baseline
        and f.metric in keys
        and math.isfinite(f.high - f.low)
    )
    return widths[len(widths) // 2] if widths else None


def _listing(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
