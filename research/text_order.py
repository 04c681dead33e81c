"""Does a text encoder order unseen reports as expert codes do? Trained ones and TF-IDF, equally tuned."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.errors import ConfigError
from medtrim.evaluation import embed_texts
from medtrim.objectives import objective_options
from medtrim.types import Provenance, medtrim_version
from medtrim.types.jsonfile import digest, read_json, write_json
from medtrim.types.tables import Progress, no_progress, write_table
from research.pooling import PooledMethod, pool_method
from research.results import Column, Findings
from research.text_corpus import CodedReports
from research.text_judge import TASK, Floats, TextJudge, cosine_matrix
from research.text_methods import (
    TEXT_METHODS,
    TextTraining,
    new_text_encoder,
    train_text_encoder,
)

Stage = Callable[[str], Progress]
NAME = "text-order"
TFIDF, UNTRAINED, SCORE = "tf-idf", "untrained", "score"
LABELS = {
    SCORE: "Meta-entity score itself (nothing learned)",
    TFIDF: "TF-IDF",
    UNTRAINED: "Untrained encoder",
    **{key: method.label for key, method in TEXT_METHODS.items()},
}
# Words and pairs of words, raw and dampened counts: the settings that TF-IDF chooses from on validation.
TFIDF_GRID = tuple(product(((1, 1), (1, 2)), (False, True)))
COLUMNS = (
    Column("concordance, all reports", TASK, "concordance", queries="all"),
    Column("concordance, abnormal reports", TASK, "concordance", queries="abnormal"),
    Column("nDCG@10, all reports", TASK, "nDCG@10", queries="all"),
    Column("nDCG@10, abnormal reports", TASK, "nDCG@10", queries="abnormal"),
    Column("concordance, covered codes", TASK, "concordance", queries="covered"),
    Column("nDCG@10, covered codes", TASK, "nDCG@10", queries="covered"),
)


@dataclass(frozen=True)
class TextOrderSettings:
    """How encoders are trained and judged; the grid is learning rates × looks, the same for every trained method.

    Attributes:
        steps, batch: of every training run.
        rates: peak learning rates tried.
        looks: how many evenly spaced moments of a run are looked at; the last is its end.
        seeds: of training.
        resamples, bootstrap_seed: of the patient-level bootstrap.
    """

    methods: tuple[str, ...] = tuple(TEXT_METHODS)
    steps: int = 160
    batch: int = 64
    rates: tuple[float, ...] = (1e-3, 3e-3)
    looks: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)
    resamples: int = 2000
    bootstrap_seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError where something is out of range."""
        unknown = [m for m in self.methods if m not in TEXT_METHODS]
        if unknown:
            raise ConfigError(f"there is no text method {unknown[0]!r} (allowed: {', '.join(TEXT_METHODS)})")
        if not self.seeds or not self.rates or min(self.steps, self.batch, self.looks) < 1:
            raise ConfigError(
                "text-order needs seeds, learning rates, and at least one step, look and report a batch"
            )

    @property
    def moments(self) -> tuple[int, ...]:
        """The steps that are looked at."""
        return tuple(sorted({max(1, round(self.steps * (k + 1) / self.looks)) for k in range(self.looks)}))


@dataclass(frozen=True)
class _Chosen:
    """What a method chose on validation and the test similarities that come of it."""

    similarity: Floats
    setting: Mapping[str, Any]


def text_order(
    corpus: CodedReports, settings: TextOrderSettings, folder: Path, *, stage: Stage = lambda _: no_progress
) -> Findings:
    """Train, choose on validation, judge on test; finished trainings in `folder` are not repeated.

    Queries are the abnormal reports of the test split, others its reports without the query. Relevance is the
    Jaccard index of the codes' terms; `covered` counts only codes of diseases that the meta-entity score knows, and
    only reports with such a code ask.

    Raises:
        ConfigError: the training split cannot fill a batch. TrainingError: a loss is not finite.
    """
    judge = TextJudge(corpus, resamples=settings.resamples, seed=settings.bootstrap_seed)
    chosen: dict[str, list[_Chosen]] = {SCORE: [_Chosen(judge.score(), {})], TFIDF: [_tfidf(corpus, judge)]}
    chosen[UNTRAINED] = [_untrained(corpus, judge, seed) for seed in settings.seeds]
    jobs = [(m, seed, rate) for seed in settings.seeds for m in settings.methods for rate in settings.rates]
    report = stage("training")
    for done, (method, seed, rate) in enumerate(jobs):
        report(done, len(jobs))
        _trained(corpus, settings, folder, method, seed, rate)
    report(len(jobs), len(jobs))
    for method in settings.methods:
        chosen[method] = [_best(corpus, settings, folder, judge, method, seed) for seed in settings.seeds]
    methods: dict[str, PooledMethod] = {}
    for key, found in chosen.items():
        stage("judging")(len(methods), len(chosen))
        methods[key] = pool_method(
            key,
            [judge.figures(c.similarity) for c in found],
            fingerprint=judge.fingerprint,
            seeds=len(settings.seeds),
        )
    facts = {
        "counts": dict(corpus.counts),
        "settings": asdict(settings),
        "objectives": {m: _objective(m) for m in settings.methods},
        "chosen": {key: [dict(c.setting) for c in found] for key, found in chosen.items()},
        "medtrim": medtrim_version(),
    }
    baselines = [key for key in (TFIDF, "simcse") if key in methods]
    title = f"Order of {corpus.counts['test abnormal']} unseen abnormal reports by expert codes"
    return Findings(NAME, title, methods, LABELS, baselines, COLUMNS, facts)


def _tfidf(corpus: CodedReports, judge: TextJudge) -> _Chosen:
    """TF-IDF fitted on the training reports, its setting chosen on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    training = [corpus.studies[i].report for i in corpus.rows("train")]
    best: tuple[float, _Chosen] | None = None
    for words, dampened in TFIDF_GRID:
        fitted = TfidfVectorizer(ngram_range=words, sublinear_tf=dampened).fit(training)
        merit = judge.merit(cosine_matrix(fitted.transform(judge.texts("val")).toarray()))
        if best is None or merit > best[0]:
            test = cosine_matrix(fitted.transform(judge.texts("test")).toarray())
            best = merit, _Chosen(test, {"words": words[1], "dampened": dampened, "merit": merit})
    return best[1]  # type: ignore[index]  # the grid is not empty


def _untrained(corpus: CodedReports, judge: TextJudge, seed: int) -> _Chosen:
    bundle = new_text_encoder([corpus.studies[i].report for i in corpus.rows("train")], seed=seed)
    return _Chosen(cosine_matrix(embed_texts(bundle, judge.texts("test"))), {"seed": seed})


def _objective(method: str) -> dict[str, Any]:
    """The objective of a method with every option."""
    found = TEXT_METHODS[method]
    return {"name": found.objective, "options": {**objective_options(found.objective), **found.options}}


def _run_folder(
    corpus: CodedReports, settings: TextOrderSettings, folder: Path, method: str, seed: int, rate: float
) -> Path:
    """The folder of a training; its name hashes all that the result depends on."""
    text = hashlib.sha256()
    for study, codes in zip(corpus.studies, corpus.codes, strict=True):
        text.update(f"{study.study_id}\x00{study.split}\x00{study.report}\x00{codes}\x01".encode())
    facts = [asdict(TEXT_METHODS[method]), _objective(method), settings.steps, settings.batch, settings.moments]
    name = digest([*facts, seed, rate, text.hexdigest(), [str(a.findings) for a in corpus.annotations]])
    return folder / "runs" / f"{method}-{name}"


def _trained(
    corpus: CodedReports, settings: TextOrderSettings, folder: Path, method: str, seed: int, rate: float
) -> Path:
    """Train, unless it is there already, and leave the embeddings at each look."""
    place = _run_folder(corpus, settings, folder, method, seed, rate)
    if read_json(place / "result.json"):
        return place
    shutil.rmtree(place, ignore_errors=True)
    train = corpus.rows("train")
    judged = np.concatenate([corpus.rows("val"), corpus.rows("test")])
    found = train_text_encoder(
        TEXT_METHODS[method],
        [corpus.studies[i] for i in train],
        [corpus.annotations[i] for i in train],
        [corpus.studies[i].report for i in judged],
        TextTraining(settings.steps, settings.batch, rate, seed, settings.moments),
    )
    for step, vectors in found.items():
        ids = pa.array([corpus.studies[i].study_id for i in judged], pa.string())
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        made = Provenance("text embeddings", config={"method": method, "step": step, "rate": rate}, seed=seed)
        write_table(pa.table({"study_id": ids, "vector": flat}), place / f"{step}.parquet", made)
    write_json(place / "result.json", {"method": method, "seed": seed, "rate": rate, "looks": sorted(found)})
    return place


def _best(
    corpus: CodedReports, settings: TextOrderSettings, folder: Path, judge: TextJudge, method: str, seed: int
) -> _Chosen:
    """The learning rate and look that validation prefers."""
    best: tuple[float, _Chosen] | None = None
    split = len(corpus.rows("val"))
    for rate in settings.rates:
        place = _run_folder(corpus, settings, folder, method, seed, rate)
        for step in settings.moments:
            vectors = _vectors(place / f"{step}.parquet")
            merit = judge.merit(cosine_matrix(vectors[:split]))
            if best is None or merit > best[0]:
                setting = {"seed": seed, "rate": rate, "step": step, "merit": merit}
                best = merit, _Chosen(cosine_matrix(vectors[split:]), setting)
    return best[1]  # type: ignore[index]  # settings have a rate and a look


def _vectors(path: Path) -> NDArray[np.float32]:
    import pyarrow.parquet as pq

    column = pq.read_table(path)["vector"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, column.type.list_size), np.float32)
