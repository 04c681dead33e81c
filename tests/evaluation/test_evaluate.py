from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation import (
    Embeddings,
    EvaluationOptions,
    EvaluationSet,
    annotations_of_column,
    compare,
    evaluate,
    evaluate_embeddings,
    read_evaluation,
    report_prior,
    write_comparison,
    write_evaluation,
)
from medtrim.types import Contradictions, Provenance, schemas
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table

OPTIONS = EvaluationOptions(resamples=40, min_count=3, probe_fractions=(0.5, 1.0), probe_repeats=2)


@pytest.fixture(scope="module")
def result(corpus, bundle):
    return evaluate(bundle, corpus.studies, corpus.annotations, method="random", root=corpus.root, options=OPTIONS)


def test_every_task_is_there_with_intervals_around_the_values(result):
    assert {f.task for f in result.figures} == {
        "retrieval",
        "diagnostic",
        "zero-shot",
        "zero-shot side",
        "zero-shot severity",
        "probe 50%",
        "probe 100%",
    }
    assert len({f.key for f in result.figures}) == len(result.figures)
    for figure in result.figures:
        if np.isfinite(figure.low):
            assert figure.low - 0.2 * abs(figure.value) <= figure.value <= figure.high + 0.2 * abs(figure.value)
    assert result.facts["studies"] == 45
    assert result.facts["probes"] == "made"
    assert (result.facts["train_studies"], result.facts["val_studies"]) == (60, 15)


def test_written_and_read_back_alike(result, tmp_path):
    write_evaluation(result, tmp_path / "r")
    read = read_evaluation(tmp_path / "r")
    assert read.fingerprint == result.fingerprint
    for ours, theirs in zip(result.figures, read.figures, strict=True):
        assert ours.key == theirs.key
        np.testing.assert_array_equal([ours.value, ours.low, ours.high], [theirs.value, theirs.low, theirs.high])
        np.testing.assert_array_equal(ours.replicates, theirs.replicates)
    figure = read.figure("disease mAP", direction="i2t")
    assert figure.queries == "all"
    assert len(repr(read)) < 100
    assert "45 studies of" in repr(read)
    assert repr(read.embeddings).startswith("<Embeddings of 45 studies, ")
    table = pq.read_table(tmp_path / "r" / "metrics.parquet").to_pylist()
    assert {r["method"] for r in table} == {"random"}
    text = (tmp_path / "r" / "evaluation.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["facts"]["studies"] == 45


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "nonsense"}, "'random' has no metric 'nonsense'; choices: 'R@1', 'R@5'"),
        ({"metric": "AUROC", "task": "probes"}, "'random' has no task 'probes'; choices: 'retrieval'"),
        ({"metric": "R@1"}, "figure 'R@1' needs a direction; choices: 'i2t', 't2i'$"),
        ({"metric": "R@1", "direction": "i2i"}, "figure 'R@1' has no direction 'i2i'; choices: 'i2t', 't2i'$"),
        ({"metric": "R@1", "direction": "i2t", "queries": "sick"}, "no queries 'sick'; choices: .*'all'"),
        ({"metric": "AUROC", "task": "probe 100%"}, "figure 'AUROC' needs a label; choices: .*'macro'"),
    ],
)
def test_a_figure_that_is_not_there_is_an_error_with_the_choices(result, asked, message):
    with pytest.raises(TableError, match=message):
        result.figure(**asked)


def test_figures_are_the_means_of_the_query_table(result, tmp_path):
    write_evaluation(result, tmp_path)
    rows = pq.read_table(tmp_path / "queries.parquet").to_pylist()
    chosen = [r for r in rows if (r["direction"], r["queries"], r["metric"]) == ("t2i", "abnormal", "fine P@5")]
    figure = result.figure("fine P@5", direction="t2i", queries="abnormal")
    assert len(chosen) == figure.n
    assert sum(r["numerator"] for r in chosen) / sum(r["denominator"] for r in chosen) == pytest.approx(
        figure.value
    )


def test_the_order_of_studies_and_annotations_does_not_matter(corpus, bundle, result):
    other = evaluate(
        bundle, corpus.studies[::-1], corpus.annotations[::-1], method="x", root=corpus.root, options=OPTIONS
    )
    assert other.fingerprint == result.fingerprint
    # Order changes how batches are padded, and with it the last bits of single-precision embeddings.
    for ours, theirs in zip(result.figures, other.figures, strict=True):
        assert ours.value == pytest.approx(theirs.value, nan_ok=True, abs=1e-5)


def evaluation_set(corpus, noise: float, seed: int) -> EvaluationSet:
    """Embeddings that know the truth, blurred."""
    rng = np.random.default_rng(seed)
    test = [s for s in corpus.studies if s.split == "test"]
    by_id = {a.study_id: a for a in corpus.annotations}
    clean = np.zeros((len(test), 12))
    for i, study in enumerate(test):
        for f in by_id[study.study_id].findings:
            base = ["pleural effusion", "cardiomegaly", "edema"].index(f.disease) * 4
            clean[i, [base, base + (1 if f.directions == ("left",) else 2)]] = 1
    image, text = ((clean + noise * rng.normal(size=clean.shape)).astype(np.float32) for _ in range(2))
    embeddings = Embeddings(tuple(s.study_id for s in test), image, text)
    patients = {s.study_id: s.patient_id for s in test}
    return EvaluationSet.align(embeddings, corpus.annotations, patients, options=OPTIONS)


def test_paired_comparison_finds_the_better_and_not_the_equal(corpus, tmp_path):
    good, bad, alike = (
        evaluate_embeddings(evaluation_set(corpus, noise, seed), method=name, options=OPTIONS)
        for name, noise, seed in (("good", 0.1, 0), ("bad", 2.0, 1), ("alike", 0.1, 0))
    )
    differences = {(d.metric, d.direction): d for d in compare(good, bad) if d.queries == "abnormal"}
    found = differences["disease mAP", "i2t"]
    assert found.value == pytest.approx(found.first - found.second)
    assert found.low > 0
    assert found.p < 0.06
    assert all(d.value == 0 or np.isnan(d.value) for d in compare(good, alike))
    write_comparison(compare(good, bad), tmp_path / "c.parquet", first=good, second=bad)
    assert len(pq.read_table(tmp_path / "c.parquet")) == len(compare(good, bad))


def test_comparison_needs_the_same_studies_truth_and_bootstrap(corpus):
    one = evaluate_embeddings(evaluation_set(corpus, 0.1, 0), method="one", options=OPTIONS)
    reseeded = evaluate_embeddings(evaluation_set(corpus, 0.1, 0), method="two", options=replace(OPTIONS, seed=1))
    with pytest.raises(TableError, match="same"):
        compare(one, reseeded)
    sides_alone = Contradictions({"side": {"left": 0, "right": 1}, "severity": {}, "zone": {}})
    lenient = evaluate_embeddings(
        evaluation_set(corpus, 0.1, 0), method="four", options=replace(OPTIONS, contradictions=sides_alone)
    )
    with pytest.raises(TableError, match="same"):
        compare(one, lenient)
    other = evaluation_set(corpus, 0.1, 0)
    changed = [replace(a, findings=a.findings[:1]) for a in corpus.annotations]
    patients = dict(zip(other.reference.study_ids, other.patients, strict=True))
    retruthed = EvaluationSet.align(other.embeddings, changed, patients, options=OPTIONS)
    with pytest.raises(TableError, match="same"):
        compare(one, evaluate_embeddings(retruthed, method="three", options=OPTIONS))


def test_refusals(corpus, bundle):
    arguments = {"method": "x", "root": corpus.root, "options": OPTIONS}
    with pytest.raises(TableError, match="'s075'"):
        evaluate(bundle, corpus.studies, corpus.annotations[:75], **arguments)
    leaking = [*corpus.studies[:-1], replace(corpus.studies[-1], patient_id="p0")]
    with pytest.raises(TableError, match="more than one split"):
        evaluate(bundle, leaking, corpus.annotations, **arguments)
    with pytest.raises(TableError, match="splits found"):
        evaluate(bundle, corpus.studies, corpus.annotations, split="exam", **arguments)
    imageless = [replace(s, images=()) if s.split == "test" else s for s in corpus.studies]
    with pytest.raises(TableError, match="usable image"):
        evaluate(bundle, imageless, corpus.annotations, **arguments)
    one = evaluation_set(corpus, 0.1, 0)
    with pytest.raises(TableError, match="both"):
        evaluate_embeddings(one, method="x", train=one, options=OPTIONS)


def test_without_training_studies_there_are_no_probes_and_the_facts_say_so(corpus, bundle):
    test = [s for s in corpus.studies if s.split == "test"]
    found = evaluate(bundle, test, corpus.annotations, method="x", root=corpus.root, options=OPTIONS)
    assert not any(f.task.startswith("probe") for f in found.figures)
    assert found.facts["probes"] == "no training studies"


def test_truth_from_a_column_of_the_studies_table(corpus, tmp_path):
    findings = annotations_to_table(corpus.annotations)["findings"]
    table = studies_to_table(corpus.studies).append_column("truth", findings)
    write_table(table, tmp_path / "s.parquet", Provenance("studies"))
    assert annotations_of_column(tmp_path / "s.parquet", "truth") == corpus.annotations
    with pytest.raises(TableError, match="'truht'.*'truth' meant"):
        annotations_of_column(tmp_path / "s.parquet", "truht")
    with pytest.raises(TableError, match="holds string"):
        annotations_of_column(tmp_path / "s.parquet", "findings")
    assert table.schema.field("truth").type == pa.list_(schemas.FINDING)


def test_identical_reports_are_merged_where_asked(corpus, bundle):
    same = [replace(s, findings="Clear lungs.") if s.split == "test" else s for s in corpus.studies]
    options = replace(OPTIONS, zero_shot=False, probes=False)
    apart, merged = (
        evaluate(
            bundle,
            same,
            corpus.annotations,
            method="m",
            root=corpus.root,
            options=replace(options, merge_reports=merge),
        )
        for merge in (False, True)
    )
    assert apart.figure("R@1", direction="i2t", queries="all").value < 0.1
    assert merged.figure("R@1", direction="i2t", queries="all").value == 1.0
    assert apart.fingerprint != merged.fingerprint
    with pytest.raises(ConfigError, match="merge_reports"):
        evaluate_embeddings(
            EvaluationSet.align(
                apart.embeddings, corpus.annotations, {s.study_id: s.patient_id for s in same}, options=options
            ),
            method="m",
            options=replace(options, merge_reports=True),
        )


def test_a_prior_counts_how_often_a_reading_occurs(corpus, bundle):
    reports = ["No effusion.", "Lungs are clear. Heart size is normal.", "Small left effusion.", "Clear lungs."]
    added = report_prior(reports, scale=20.0, strength=0.5)
    np.testing.assert_allclose(added, [0.0, 0.0, 0.5 / 20 * np.log(1 / 3), 0.0])
    np.testing.assert_array_equal(report_prior(reports, scale=20.0, strength=0.0), 0.0)


def test_a_prior_moves_images_towards_common_reports_and_nothing_else(corpus, bundle):
    options = replace(OPTIONS, zero_shot=False, probes=False)
    plain, taken = (
        evaluate(
            bundle,
            corpus.studies,
            corpus.annotations,
            method="m",
            root=corpus.root,
            options=replace(options, prior=prior),
        )
        for prior in (0.0, 1.0)
    )

    def precision(result, direction):
        return result.figure("disease P@10", direction=direction, queries="normal").value

    assert precision(taken, "i2t") == 1.0 > precision(plain, "i2t")
    for direction in ("t2i", "i2i", "t2t"):
        assert precision(taken, direction) == precision(plain, direction)
    assert taken.fingerprint != plain.fingerprint
    with pytest.raises(ConfigError, match="prior needs"):
        evaluate_embeddings(evaluation_set(corpus, 0.1, 0), method="m", options=replace(options, prior=0.5))
