"""The page of a suite: one self-contained HTML file, with styles, script, drawings and pictures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medtrim.data import fit_square, load_image
from medtrim.errors import ImageError
from medtrim.evaluation import Embeddings
from medtrim.evaluation.embed import read_embeddings
from medtrim.evaluation.metric_info import metric_infos
from medtrim.evaluation.result import EMBEDDINGS
from medtrim.evaluation.truth import contradictions_of_table
from medtrim.evaluation.validation_scores import METRICS
from medtrim.experiments.execute import EVALUATION
from medtrim.experiments.report.charts import Plot, learning_curves, loss_curves, sweep_plot
from medtrim.experiments.report.embedding_map import SEVERAL, EmbeddingMap, make_map
from medtrim.experiments.report.gallery import (
    SIDE,
    GalleryCorpus,
    GalleryQuery,
    Picture,
    failure_gallery,
    random_gallery,
)
from medtrim.experiments.report.markdown import lead, trial_text
from medtrim.experiments.report.mining_facts import MiningFacts, mining_facts
from medtrim.experiments.report.remarks import budget_words, remarks
from medtrim.experiments.report.tables import breakdowns, differences, main_tables, more_tables
from medtrim.experiments.results import SuiteResults
from medtrim.experiments.rows import QUERIES, Key
from medtrim.experiments.run_suite import SuiteRun
from medtrim.experiments.validation import curve_name
from medtrim.types import DISEASES, NO_FINDING, Study
from medtrim.types.tables import Progress, atomic_path, no_progress, read_annotations, read_studies
from medtrim.types.yamlfile import dump_yaml

PAGE = "report.html"
SWEPT = ("disease P@10", "fine P@10", "conflict-free @R", "attribute AUC")
# Maps beyond these add little and make the file large.
MAPS = 4
# The objective of the paper.
PUBLISHED = "medtrim-triplet"


@dataclass(frozen=True)
class PageParts:
    """What a page shows besides the figures; every part may be empty.

    `gallery` are queries drawn at random, `failures` those that ours answers worst, `mining` what the published
    triplets hold, `published` whether the published objective is explained, `command` the command line.
    """

    curves: Sequence[Plot] = ()
    maps: Sequence[EmbeddingMap] = ()
    gallery: Sequence[GalleryQuery] = ()
    failures: Sequence[GalleryQuery] = ()
    mining: MiningFacts | None = None
    published: bool = False
    command: str = ""


def write_page(
    results: SuiteResults, done: SuiteRun, out: Path, *, command: str = "", progress: Progress = no_progress
) -> Path:
    """Write `report.html` into `out`; returns its path.

    Args:
        command: the command line, for the reader.

    Raises:
        ConfigError: a figure is there without those that it must not be shown without.
    """
    section, seed = done.suite.page, done.suite.seeds[0]
    embeddings = _embeddings(results, done)
    test = _test_studies(done, embeddings)
    ours = results.facts["ours"]
    failures: tuple[GalleryQuery, ...] = ()
    if ours in embeddings and section.failures:
        shown = {m: embeddings[m] for m in (ours, best_rival(results)) if m in embeddings}
        failures = failure_gallery(test, shown, ours=ours, count=section.failures)
    parts = PageParts(
        curves=_curves(results, done),
        maps=_maps(results, done, test, embeddings, progress),
        gallery=random_gallery(test, embeddings, count=section.gallery, seed=seed),
        failures=failures,
        mining=mining_facts(done.corpus.annotations, seed=seed) if section.published else None,
        published=section.published,
        command=command,
    )
    html = render(results, parts)
    with atomic_path(out / PAGE) as part:
        part.write_text(html, encoding="utf-8")
    return out / PAGE


def render(results: SuiteResults, parts: PageParts | None = None) -> str:
    """The page's HTML; the same results and parts give the same bytes."""
    parts = parts or PageParts()
    facts = results.facts
    order = (*DISEASES, NO_FINDING, SEVERAL)
    held = {p.disease for one in parts.maps for p in one.points}
    return (
        _environment()
        .get_template("page.html")
        .render(
            r=results,
            parts=parts,
            css=_asset("report.css") + _asset("suite.css"),
            js=_asset("report.js"),
            lead=lead(results),
            remarks=remarks(results),
            budget=budget_words(results),
            drawn_seeds=facts["evaluation"]["seed_variation"] == "resampled" and len(facts["seeds"]) > 1,
            tables=main_tables(results),
            more_tables=more_tables(results),
            infos=tuple(metric_infos().values()),
            differences=differences(results),
            ours_label=results.label(facts["ours"]),
            breakdowns=breakdowns(results),
            sweeps=_sweeps(results),
            sweep_colours={metric: i for i, metric in enumerate(SWEPT)},
            published_compared=any(m.get("objective") == PUBLISHED for m in facts["suite"]["methods"].values()),
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
    """Method → embeddings of its first finished seed, by study id; with folds those of the first."""
    found: dict[str, Embeddings] = {}
    for run, outcome in done.finished():
        if run.spec.method not in found and not run.fold:
            read = read_embeddings(outcome.job.folder / EVALUATION / EMBEDDINGS)
            found[run.spec.method] = read.select(sorted(read.study_ids))
    return {m: found[m] for m in results.methods}


def _test_studies(done: SuiteRun, embeddings: Mapping[str, Embeddings]) -> GalleryCorpus:
    ids = next(iter(embeddings.values())).study_ids
    studies = {s.study_id: s for s in read_studies(done.corpus.studies)}
    truth = {a.study_id: a for a in read_annotations(done.corpus.reference)}

    def load(study: Study) -> Picture | None:
        try:
            path = done.corpus.image_root / study.images[0]
            return fit_square(load_image(path, study_id=study.study_id), SIDE)
        except ImageError:
            return None  # it could be read when it was cached; the page says "no image"

    return GalleryCorpus(
        tuple(studies[i] for i in ids),
        tuple(truth[i] for i in ids),
        load,
        contradictions_of_table(done.corpus.reference),
    )


def _maps(
    results: SuiteResults,
    done: SuiteRun,
    test: GalleryCorpus,
    embeddings: Mapping[str, Embeddings],
    progress: Progress,
) -> tuple[EmbeddingMap, ...]:
    count = done.suite.page.map_studies
    if min(count, len(test.studies)) < 2:
        return ()
    first = [m for m in (results.facts["ours"], best_rival(results)) if m in embeddings]
    chosen = list(dict.fromkeys([*first, *embeddings]))[:MAPS]
    maps = []
    for i, method in enumerate(chosen):
        progress(i, len(chosen))
        vectors = embeddings[method]
        seed = done.suite.seeds[0]
        maps.append(make_map(method, vectors.image, vectors.text, test.truth, studies=count, seed=seed))
    progress(len(chosen), len(chosen))
    return tuple(maps)


def _curves(results: SuiteResults, done: SuiteRun) -> list[Plot]:
    paths: dict[str, list[Path]] = {m: [] for m in results.methods}
    for run, outcome in done.finished():
        paths[run.spec.method].append(outcome.job.folder / "metrics.jsonl")
    labels = {m: results.label(m) for m in results.methods}
    loss = loss_curves(paths, labels)
    return [*learning_curves(paths, labels, [curve_name(metric) for metric in METRICS]), *([loss] if loss else [])]


def _sweeps(results: SuiteResults) -> list[Plot]:
    rows = results.of("sweep")
    plots = []
    for title in dict.fromkeys(r.sweep for r in rows):
        own = [r for r in rows if r.sweep == title]
        found = sweep_plot(f"{title} ({results.label(own[0].method)})", own, SWEPT)
        if found is not None:
            plots.append(found)
    return plots


def duration(seconds: float) -> str:
    """Seconds for a reader: `4.2 s`, `1 min 05 s`, `2 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def share(value: float) -> str:
    """A share in percent, in whole points; one that rounds to 0 or 100 without being it says so."""
    percent = 100 * value
    if 0 < percent < 0.5:
        return "below 1 %"
    if 99.5 <= percent < 100:
        return "above 99 %"
    return f"{percent:.0f} %"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("medtrim.experiments.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["share"] = share
    return environment


def _asset(name: str) -> Markup:
    """One of our own style or script files, which go into the page as they are."""
    source = resources.files("medtrim.experiments.report") / "templates" / name
    return Markup(source.read_text(encoding="utf-8"))
