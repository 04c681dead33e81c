"""When two evaluations may be compared, figure by figure, and when an interval or p may be stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtrim.evaluation import (
    Embeddings,
    EvaluationOptions,
    EvaluationResult,
    EvaluationSet,
    compare,
    evaluate,
    evaluate_embeddings,
    left_out,
    read_evaluation,
    write_evaluation,
)
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import figure_of, make_figure, mean_values
from medtrim.evaluation.prompts import load_prompts
from medtrim.types import Annotation, Finding

OPTIONS = EvaluationOptions(resamples=30, min_count=3, probe_fractions=(0.5, 1.0), probe_repeats=2)


def one_figure(values: np.ndarray, patients: list[str]) -> EvaluationResult:
    bootstrap = PatientBootstrap(patients, resamples=200)
    figure = figure_of(
        mean_values("R@1", values),
        np.arange(len(values)),
        bootstrap,
        direction="i2t",
        group="all",
        own_in_gallery=True,
    )
    return EvaluationResult("m", (figure,), "same")


@pytest.mark.parametrize(("patients", "stated"), [(1, False), (3, False), (19, False), (20, True), (40, True)])
def test_no_interval_and_no_p_below_twenty_patients(patients, stated):
    names = [f"p{i % patients}" for i in range(60)]
    rng = np.random.default_rng(0)
    good, bad = (one_figure((rng.random(60) < share).astype(float), names) for share in (0.7, 0.3))
    (found,) = compare(good, bad)
    assert found.patients == patients
    assert found.value == pytest.approx(good.figures[0].value - bad.figures[0].value)
    assert [np.isfinite(x) for x in (found.low, found.high, found.p)] == [stated] * 3
    assert found.why_no_p == ("" if stated else "too few patients")


def test_all_against_nothing_has_no_p_however_many_patients():
    names = [f"p{i}" for i in range(50)]
    (found,) = compare(one_figure(np.ones(50), names), one_figure(np.zeros(50), names))
    assert found.value == 1.0
    assert (found.low, found.high) == (1.0, 1.0)
    assert np.isnan(found.p)
    assert found.why_no_p == "all resamples agree"


def test_patients_behind_a_figure_count_not_those_of_the_test_set():
    names = [f"p{i}" for i in range(60)]
    values = np.where(np.arange(60) < 10, np.arange(60) % 2, np.nan)
    (found,) = compare(one_figure(values, names), one_figure(1 - values, names))
    assert (found.patients, found.n, found.why_no_p) == (10, 10, "too few patients")


def test_one_patient_has_no_interval(corpus):
    bootstrap = PatientBootstrap(["p"] * 4, resamples=10)
    for values in (np.zeros(4), np.ones(4), np.array([0.0, 1.0, 1.0, 0.0])):
        found = figure_of(
            mean_values("x", values), np.arange(4), bootstrap, direction="i2t", group="all", own_in_gallery=False
        )
        assert np.isfinite(found.value)
        assert np.isnan([found.low, found.high]).all()
    assert np.isfinite(make_figure("t", "m", 0.5, np.linspace(0, 1, 9), n=9, patients=2).low)
    alone = studies_of(corpus, "test", patient="p")
    result = evaluate_embeddings(alone, method="one", options=replace(OPTIONS, zero_shot=False, probes=False))
    assert all(np.isnan(f.low) and np.isnan(f.high) for f in result.figures)
    assert any(np.isfinite(f.value) for f in result.figures)


def studies_of(corpus, split: str, *, patient: str = "", relabel: bool = False, drop: int = 0) -> EvaluationSet:
    studies = [s for s in corpus.studies if s.split == split][drop:]
    rng = np.random.default_rng(0)
    image, text = (rng.normal(size=(len(studies), 8)).astype(np.float32) for _ in range(2))
    annotations = corpus.annotations
    if relabel:
        annotations = [Annotation(a.study_id, a.findings or (Finding("edema", "present"),)) for a in annotations]
    patients = {s.study_id: patient or s.patient_id for s in studies}
    return EvaluationSet.align(Embeddings(tuple(patients), image, text), annotations, patients, options=OPTIONS)


def result(corpus, *, options=OPTIONS, prompts=None, train=None, tuning=None) -> EvaluationResult:
    def encode(texts):
        return np.array([[len(t), sum(map(ord, t)) % 7, 1, 0, 0, 0, 0, 2] for t in texts], np.float32)

    return evaluate_embeddings(
        studies_of(corpus, "test"),
        method="m",
        train=train or studies_of(corpus, "train"),
        tuning=tuning or studies_of(corpus, "val"),
        encode=encode,
        prompts=prompts,
        options=options,
    )


def test_each_task_is_compared_where_what_it_rests_on_agrees(corpus, tmp_path):
    base = result(corpus)
    assert left_out(base, result(corpus)) == {}
    other_prompts = load_prompts().model_copy(update={"positive": ["{name}!"]})
    other_ends = load_prompts().model_copy(update={"contrasts": {"side": load_prompts().contrasts["side"]}})
    probes = {"probe 50%": "different probe training studies", "probe 100%": "different probe training studies"}
    cases = (
        (result(corpus, prompts=other_prompts), {"zero-shot": "different prompts"}),
        (result(corpus, tuning=studies_of(corpus, "val", drop=1)), {"zero-shot": "different tuning studies"}),
        (
            result(corpus, tuning=studies_of(corpus, "val", relabel=True)),
            {"zero-shot": "different tuning studies"},
        ),
        (result(corpus, train=studies_of(corpus, "train", drop=1)), probes),
        (result(corpus, train=studies_of(corpus, "train", relabel=True)), probes),
        (
            result(corpus, options=replace(OPTIONS, probe_repeats=3)),
            {"probe 50%": "different probe repeats"},
        ),
        (
            result(corpus, options=replace(OPTIONS, probe_fractions=(1.0,))),
            {"probe 50%": "only 'm' has it"},
        ),
        (
            result(corpus, prompts=other_ends),
            {"zero-shot side": "different prompts", "zero-shot severity": "only 'm' has it"},
        ),
    )
    tasks = {f.task for f in base.figures}
    for i, (other, expected) in enumerate(cases):
        assert left_out(base, other) == expected
        assert {d.task for d in compare(base, other)} == tasks - set(expected)
        write_evaluation(other, tmp_path / str(i))
        assert left_out(base, read_evaluation(tmp_path / str(i))) == expected


def test_an_evaluation_without_task_fingerprints_can_still_be_read(corpus, tmp_path):
    base = result(corpus)
    write_evaluation(base, tmp_path)
    assert [f.patients for f in read_evaluation(tmp_path).figures] == [f.patients for f in base.figures]
    old = replace(base, task_fingerprints={})
    assert set(left_out(base, old)) == {
        "zero-shot",
        "zero-shot side",
        "zero-shot severity",
        "probe 50%",
        "probe 100%",
    }


def test_metrics_that_reach_past_the_gallery_are_named(corpus, bundle):
    few = [s for s in corpus.studies if s.split == "test"][:10]
    options = replace(OPTIONS, zero_shot=False, probes=False)
    found = evaluate(bundle, few, corpus.annotations, method="m", root=corpus.root, options=options)
    assert found.facts["trivial"] == ["R@10", "disease P@10", "fine P@10"]
    assert found.figure("R@10", direction="i2t").value == 1.0
    more = [s for s in corpus.studies if s.split == "test"][:12]
    assert (
        evaluate(bundle, more, corpus.annotations, method="m", root=corpus.root, options=options).facts["trivial"]
        == []
    )
