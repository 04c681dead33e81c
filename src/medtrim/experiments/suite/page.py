"""The suite's page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medtrim.data import ImageCache
from medtrim.evaluation import Embeddings
from medtrim.evaluation.embed import read_embeddings
from medtrim.evaluation.result import EMBEDDINGS
from medtrim.evaluation.truth import contradictions_of_table
from medtrim.experiments.embedding_map import make_map
from medtrim.experiments.report import SEVERAL, duration
from medtrim.experiments.results import EmbeddingMap, GalleryQuery
from medtrim.experiments.suite.charts import Plot, learning_curves, loss_curves, sweep_plot
from medtrim.experiments.suite.conduct import SuiteRun
from medtrim.experiments.suite.docs_page import trial_text
from medtrim.experiments.suite.execute import EVALUATION, TRAINING
from medtrim.experiments.suite.failures import TestStudies, failure_gallery
from medtrim.experiments.suite.headline import QUERIES, Key
from medtrim.experiments.suite.markdown import lead
from medtrim.experiments.suite.page_tables import breakdowns, differences, main_tables, more_tables
from medtrim.experiments.suite.results import SuiteResults
from medtrim.experiments.validation import CURVES
from medtrim.types import DISEASES, NO_FINDING
from medtrim.types.tables import Progress, atomic_path, no_progress, read_annotations, read_studies
from medtrim.types.yamlfile import dump_yaml

PAGE = "report.html"
SWEPT = ("disease P@10", "fine P@10", "conflict-free @R", "attribute AUC")
# Maps beyond these say little more and make the file large.
MAPS = 4


@dataclass(frozen=True, slots=True)
class PageMethod:
    """A method as the shared templates know it."""

    key: str
    label: str
    description: str


@dataclass(frozen=True)
class PageResults:
    """What the shared templates call `r`."""

    facts: Mapping[str, Any]
    methods: tuple[PageMethod, ...]
    maps: tuple[EmbeddingMap, ...]
    results: SuiteResults

    def label(self, key: str) -> str:
        """What a reader sees for the method `key`."""
        return self.results.label(key)


def write_page(results: SuiteResults, done: SuiteRun, out: Path, *, progress: Progress = no_progress) -> Path:
    """Write `report.html` into `out`; returns its path."""
    embeddings = _embeddings(results, done)
    test = _test_studies(done, embeddings)
    maps = _maps(results, done, test, embeddings, progress)
    gallery: tuple[GalleryQuery, ...] = ()
    ours = results.facts["ours"]
    if ours in embeddings and done.suite.page.failures:
        shown = {m: embeddings[m] for m in (ours, best_rival(results)) if m in embeddings}
        gallery = failure_gallery(test, shown, ours=ours, count=done.suite.page.failures)
    html = render(results, curves=_curves(results, done), maps=maps, gallery=gallery)
    with atomic_path(out / PAGE) as part:
        part.write_text(html, encoding="utf-8")
    return out / PAGE


def render(
    results: SuiteResults,
    *,
    curves: Sequence[Plot] = (),
    maps: Sequence[EmbeddingMap] = (),
    gallery: Sequence[GalleryQuery] = (),
) -> str:
    """The page's HTML."""
    facts = results.facts
    methods = tuple(PageMethod(m, results.label(m), facts["methods"][m]["description"]) for m in results.methods)
    order = (*DISEASES, NO_FINDING, SEVERAL)
    held = {p.disease for one in maps for p in one.points}
    return (
        _environment()
        .get_template("suite.html")
        .render(
            r=PageResults(facts, methods, tuple(maps), results),
            css=_asset("medtrim.experiments", "report.css") + _asset("medtrim.experiments.suite", "suite.css"),
            js=_asset("medtrim.experiments", "report.js"),
            lead=lead(results),
            drawn_seeds=facts["evaluation"]["seed_variation"] == "resampled" and len(facts["seeds"]) > 1,
            tables=main_tables(results),
            more_tables=more_tables(results),
            differences=differences(results),
            ours_label=results.label(facts["ours"]),
            breakdowns=breakdowns(results),
            curves=curves,
            sweeps=_sweeps(results),
            sweep_colours={metric: i for i, metric in enumerate(SWEPT)},
            gallery=gallery,
            classes=[name for name in order if name in held],
            class_index={name: i for i, name in enumerate(order)},
            method_index={m: i for i, m in enumerate(results.methods)},
            search=sorted(facts["search"], key=lambda t: (facts["order"].index(t["method"]), t["trial"])),
            trial_text=trial_text,
            config=dump_yaml(facts["suite"]),
        )
    )


def best_rival(results: SuiteResults) -> str:
    """The rival that is best at fine P@10 from images to reports; empty without any."""
    key = Key("retrieval", "fine P@10", "i2t", QUERIES)
    rivals = [m for m in results.methods if m in results.facts["rivals"]]
    values = {m: row.value for m in rivals if (row := results.pooled(m, key)) and row.value == row.value}
    return max(values, key=lambda m: values[m]) if values else (rivals[0] if rivals else "")


def _embeddings(results: SuiteResults, done: SuiteRun) -> dict[str, Embeddings]:
    """Method → embeddings of its first finished seed, by study id."""
    found: dict[str, Embeddings] = {}
    for run, outcome in zip(done.runs, done.outcomes, strict=True):
        if run.role == "final" and outcome.state != "failed" and run.spec.method not in found:
            read = read_embeddings(outcome.job.folder / EVALUATION / EMBEDDINGS)
            found[run.spec.method] = read.select(sorted(read.study_ids))
    return {m: found[m] for m in results.methods}


def _test_studies(done: SuiteRun, embeddings: Mapping[str, Embeddings]) -> TestStudies:
    ids = next(iter(embeddings.values())).study_ids
    studies = {s.study_id: s for s in read_studies(done.corpus.studies)}
    truth = {a.study_id: a for a in read_annotations(done.corpus.reference)}
    cache = ImageCache(done.corpus.cache)
    pictures = dict(zip(ids, cache[cache.rows(ids)], strict=True))
    return TestStudies(
        tuple(studies[i] for i in ids),
        tuple(truth[i] for i in ids),
        pictures,
        contradictions_of_table(done.corpus.reference),
    )


def _maps(
    results: SuiteResults,
    done: SuiteRun,
    test: TestStudies,
    embeddings: Mapping[str, Embeddings],
    progress: Progress,
) -> tuple[EmbeddingMap, ...]:
    count = min(done.suite.page.map_studies, len(test.studies))
    if count < 2:
        return ()
    first = [m for m in (results.facts["ours"], best_rival(results)) if m in embeddings]
    chosen = list(dict.fromkeys([*first, *embeddings]))[:MAPS]
    maps = []
    for i, method in enumerate(chosen):
        progress(i, len(chosen))
        vectors = embeddings[method]
        maps.append(make_map(method, vectors.image[:count], vectors.text[:count], test.truth[:count], seed=0))
    progress(len(chosen), len(chosen))
    return tuple(maps)


def _curves(results: SuiteResults, done: SuiteRun) -> list[Plot]:
    paths: dict[str, list[Path]] = {m: [] for m in results.methods}
    for run, outcome in zip(done.runs, done.outcomes, strict=True):
        if run.role == "final" and run.spec.method in paths:
            paths[run.spec.method].append(outcome.job.folder / TRAINING / "metrics.jsonl")
    labels = {m: results.label(m) for m in results.methods}
    loss = loss_curves(paths, labels)
    return [*learning_curves(paths, labels, CURVES), *([loss] if loss else [])]


def _sweeps(results: SuiteResults) -> list[Plot]:
    rows = results.of("sweep")
    plots = []
    for title in dict.fromkeys(r.sweep for r in rows):
        own = [r for r in rows if r.sweep == title]
        found = sweep_plot(f"{title} ({results.label(own[0].method)})", own, SWEPT)
        if found is not None:
            plots.append(found)
    return plots


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("medtrim.experiments.suite"), PackageLoader("medtrim.experiments")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment


def _asset(package: str, name: str) -> Markup:
    """One of our own style or script files, which go into the page as they are."""
    return Markup((resources.files(package) / "templates" / name).read_text(encoding="utf-8"))
