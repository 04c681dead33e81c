"""Cross-validation by patient: whole suites on tiny phantoms, runs made in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation import read_evaluation
from medtrim.experiments import run_suite as run_suite_module
from medtrim.experiments.collect import collect, read_evaluations
from medtrim.experiments.execute import EVALUATION
from medtrim.experiments.load import build_suite, load_suite
from medtrim.experiments.plan import plan_final
from medtrim.experiments.prepare import _folds, prepare_corpus
from medtrim.experiments.report.page import write_page
from medtrim.experiments.results import gather, read_results, write_results
from medtrim.experiments.run_suite import SuiteRun, run_suite
from medtrim.experiments.runner import RESULT, Job, Outcome
from medtrim.experiments.schema import Suite
from medtrim.types import Study
from medtrim.types.tables import read_annotations, read_studies
from tests.experiments.test_run_suite import run_here

FOLDS = 2


def suite_of(**changes: Any) -> Suite:
    values: dict[str, Any] = {
        "name": "folds",
        "data": {"phantom": {"studies": 60, "size": 32}, "fractions": {"train": 0.75, "val": 0.25}},
        "train": {"recipe": "tiny-cpu", "steps": 2, "batch": {"size": 8}, "model": {"image_size": 32}},
        "methods": {
            "medtrim": {"label": "MedTrim", "objective": "medtrim"},
            "clip": {"label": "CLIP", "objective": "clip"},
        },
        "ours": "medtrim",
        "seeds": [0],
        "folds": FOLDS,
        "evaluation": {"resamples": 20, "zero_shot": False, "probes": []},
        "curve": {"every": 2, "studies": 10},
        "page": {"gallery": 1, "failures": 0, "map_studies": 8},
        "keep_models": False,
        "jobs": 1,
    }
    return build_suite({**values, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_suite_module, "run_jobs", run_here)
        return run_suite(suite_of(), tmp_path_factory.mktemp("folds"))


def test_the_plan_is_seeds_by_folds_by_methods() -> None:
    runs = plan_final(suite_of(seeds=[0, 1]), {})
    assert [(r.spec.seed, r.fold, r.spec.method) for r in runs] == [
        (seed, fold, method) for seed in (0, 1) for fold in range(FOLDS) for method in ("medtrim", "clip")
    ]
    assert runs[2].title == "medtrim, seed 0, fold 2"
    assert len({run.spec.measures["seed"] for run in runs}) == FOLDS, "folds do not share draws of patients"


def test_every_patient_is_tested_once_and_trained_on_in_the_other_folds(done: SuiteRun) -> None:
    placed = [read_studies(fold.studies) for fold in done.corpus.folds]
    assert len(placed) == FOLDS
    by_study = {s.study_id: [own[i].split for own in placed] for i, s in enumerate(placed[0])}
    assert all(splits.count("test") == 1 for splits in by_study.values())
    for fold, studies in zip(done.corpus.folds, placed, strict=True):
        patients = {
            split: {s.patient_id for s in studies if s.split == split} for split in ("train", "val", "test")
        }
        assert not patients["test"] & (patients["train"] | patients["val"])
        assert not patients["train"] & patients["val"]
        training = {s.study_id for s in studies if s.split == "train"}
        assert {a.study_id for a in read_annotations(fold.annotations)} == training
    assert done.corpus.counts["test"] == len(placed[0])
    assert done.corpus.counts["train"] == min(fold.counts["train"] for fold in done.corpus.folds)


def test_validation_is_drawn_anew_in_every_fold() -> None:
    studies = [Study(f"s{i}", f"p{i // 2}", split="train") for i in range(200)]
    placed = [[s.split for s in fold] for fold in _folds(suite_of(folds=4), studies)]
    by_study = [set(splits) for splits in zip(*placed, strict=True)]
    assert all("test" in splits for splits in by_study)
    assert sum({"train", "val"} <= splits for splits in by_study) > 50
    assert 0.15 < sum(splits.count("val") for splits in placed) / 600 < 0.35, "a quarter of what is not in the fold"


def test_figures_are_pooled_over_folds_with_all_patients_behind_them(done: SuiteRun) -> None:
    rows = collect(done.suite, read_evaluations(done))
    key = ("retrieval", "disease P@10", "i2t", "all")
    pooled = {r.method: r for r in rows if r.kind == "pooled" and (r.task, r.metric, r.direction, r.queries) == key}
    for method in ("medtrim", "clip"):
        folds = [
            next(f for f in read_evaluation(o.job.folder / EVALUATION).figures if f.key == (*key, ""))
            for run, o in done.finished()
            if run.spec.method == method
        ]
        assert len(folds) == FOLDS
        expected = sum(f.n * f.value for f in folds) / sum(f.n for f in folds)
        assert pooled[method].value == pytest.approx(expected)
        assert pooled[method].n == sum(f.n for f in folds)
    paired = next(r for r in rows if r.kind == "difference" and (r.task, r.metric, r.direction, r.queries) == key)
    assert paired.value == pytest.approx(pooled["medtrim"].value - pooled["clip"].value)
    assert np.isfinite([paired.low, paired.high, paired.p]).all()


def test_results_and_page_say_how_it_was_tested(done: SuiteRun) -> None:
    results = gather(done)
    write_results(results, done.folder)
    read = read_results(done.folder)
    assert read.facts["corpus"]["folds"] == FOLDS
    assert {"seed", "pooled", "difference", "best", "breakdown"} == {r.kind for r in read.rows}
    group = next(r for r in read.rows if r.kind == "breakdown")
    assert group.n > max(fold.counts["test"] for fold in done.corpus.folds) / 3
    page = write_page(read, done, done.folder).read_text(encoding="utf-8")
    assert "2-fold cross-validation by patient, 60 of" in page
    assert "Test studies of the first fold" in page
    record = json.loads((done.folder / "suite.json").read_text())
    assert [run["fold"] for run in record["runs"]] == [0, 0, 1, 1]


def test_a_finished_suite_is_not_run_again_and_more_seeds_keep_what_is_there(
    done: SuiteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def listed(jobs: Sequence[Job], **options: Any) -> list[Outcome]:
        started.extend(j.title for j in jobs if not (j.folder / RESULT).exists())
        return [Outcome(j, "skipped" if (j.folder / RESULT).exists() else "failed") for j in jobs]

    monkeypatch.setattr(run_suite_module, "run_jobs", listed)
    assert [o.state for o in run_suite(suite_of(), done.folder).outcomes] == ["skipped"] * 2 * FOLDS
    assert not started
    run_suite(suite_of(seeds=[0, 1]), done.folder)
    assert started == [f"{m}, seed 1, fold {f}" for f in (1, 2) for m in ("medtrim", "clip")]


def test_where_a_fold_failed_its_method_and_seed_have_no_figures(done: SuiteRun) -> None:
    outcomes = list(done.outcomes)
    outcomes[1] = replace(outcomes[1], state="failed", error="out of memory")
    short = replace(done, outcomes=tuple(outcomes))
    assert {run.spec.method for run, _ in short.finished()} == {"medtrim"}
    results = gather(short)
    assert results.methods == ("medtrim",)
    assert [f["run"] for f in results.facts["failures"]] == ["clip, seed 0, fold 1"]


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folds"):
        suite_of(folds=1)
    with pytest.raises(ConfigError, match="folds take no tuning"):
        suite_of(tuning={"trials": 1})
    with pytest.raises(ConfigError, match="run_folders: method takes one seed, no folds"):
        suite_of(run_folders="method")
    with pytest.raises(ConfigError, match=r"folds need a share for 'train' in data\.fractions"):
        suite_of(data={"phantom": {"studies": 90, "size": 32}, "fractions": {"val": 1.0}})
    few = suite_of(folds=40, data={"phantom": {"studies": 20, "size": 32}})
    with pytest.raises(TableError, match=r"patient\(s\) cannot fill 40 folds"):
        prepare_corpus(few, tmp_path / "few", image_size=32)


def test_the_example_suite_is_one() -> None:
    suite = load_suite(Path(__file__).parents[2] / "examples" / "suites" / "own-data-folds.yaml")
    assert suite.folds == 5
    assert set(suite.methods) == {"medtrim", "paper", "clip"}
