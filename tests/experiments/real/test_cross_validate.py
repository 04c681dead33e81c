from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.evaluation import Embeddings, PatientBootstrap, evaluate_retrieval, make_reference
from medtrim.experiments.real import fold_run
from medtrim.experiments.real.cohort import read_cohort
from medtrim.experiments.real.cross_validate import CrossValidation, cross_validate, told_settings
from medtrim.experiments.real.folds import make_folds
from medtrim.experiments.real.out_of_fold import pooled_retrieval, pooled_zero_shot
from medtrim.experiments.real.results import write_findings
from medtrim.experiments.real.zones import ZoneJudge, zone_similarity
from medtrim.experiments.load import load_suite
from medtrim.experiments.resolve import training_config

SMALL = {"steps": 1, "batch": {"size": 4}}


@pytest.fixture
def folds(manifest, tmp_path):
    cohort = read_cohort(manifest, zones="zone_")
    return make_folds(cohort, tmp_path / "out" / "corpus", folds=2, seed=0, size=64)


def embedded(folds, seed=0):
    """Random vectors of each fold's studies."""
    rng = np.random.default_rng(seed)
    found = []
    for fold in range(folds.count):
        ids = tuple(s.study_id for s in folds.test(fold))
        found.append(Embeddings(ids, *(rng.standard_normal((2, len(ids), 5)).astype(np.float32))))
    return found


def test_no_patient_and_no_note_is_on_both_sides_of_a_fold(folds):
    for fold in range(folds.count):
        for searching in (False, True):
            split = folds.split(fold, searching=searching)
            sides = {name: [s for s in split if s.split == name] for name in ("train", "val", "test")}
            for field in ("patient_id", "findings"):
                seen = [{getattr(s, field) for s in part} for part in sides.values()]
                assert not (seen[0] & seen[1])
                assert not (seen[0] & seen[2])
                assert not (seen[1] & seen[2])
            known = pq.read_table(folds.training_annotations(fold, searching=searching))["study_id"].to_pylist()
            assert known == [s.study_id for s in sides["train"]]
    assert sorted(s.study_id for f in range(2) for s in folds.test(f)) == sorted(s.study_id for s in folds.studies)


def test_pooled_retrieval_is_the_mean_over_all_queries_of_all_folds(folds):
    found = embedded(folds)
    bootstrap = PatientBootstrap([s.patient_id for s in folds.studies], resamples=20, seed=0)
    pooled = {f.key: f for f in pooled_retrieval(found, folds, bootstrap)}
    known = {a.study_id: a for a in folds.annotations}
    parts = []
    for one in found:
        ids = sorted(one.study_ids)
        ordered = one.select(ids)
        once = PatientBootstrap(ids, resamples=1, seed=0)
        result = evaluate_retrieval(ordered.image, ordered.text, make_reference([known[s] for s in ids]), once)
        parts.append({f.key: f for f in result.figures})
    for metric in ("disease P@10", "disease AUC", "R@5"):
        key = ("retrieval", metric, "i2t", "abnormal", "")
        weights = [p[key].n for p in parts]
        assert pooled[key].value == pytest.approx(np.average([p[key].value for p in parts], weights=weights))
        assert pooled[key].n == sum(weights)
    assert not any(f.metric == "median rank" for f in pooled.values())


def test_pooled_zero_shot_compares_within_folds_alone_and_weighs_by_resample(folds):
    rng = np.random.default_rng(2)
    # The second fold's scores lie far above the first one's: pooled blindly that would count.
    scores = [
        {
            label: {s.study_id: float(10 * fold + rng.random()) for s in folds.test(fold)}
            for label in fold_run.labels()
        }
        for fold in range(2)
    ]
    bootstrap = PatientBootstrap([s.patient_id for s in folds.studies], resamples=7, seed=1)
    figures = {f.label: f for f in pooled_zero_shot(scores, folds, bootstrap)}
    truth = {a.study_id: {f.disease for f in a.findings} for a in folds.annotations}
    row = {s.study_id: i for i, s in enumerate(folds.studies)}
    label = "consolidation"

    def slow(weights):
        top = bottom = 0.0
        for fold in scores:
            for p, score_p in fold[label].items():
                for n, score_n in fold[label].items():
                    if label in truth[p] and label not in truth[n]:
                        w = weights[row[p]] * weights[row[n]]
                        top += w * (1.0 if score_p > score_n else 0.5 if score_p == score_n else 0.0)
                        bottom += w
        return top / bottom

    assert figures[label].value == pytest.approx(slow(np.ones(len(folds.studies))))
    drawn = bootstrap.study_weights(np.arange(len(folds.studies))).T
    np.testing.assert_allclose(figures[label].replicates, [slow(w) for w in drawn])
    assert "macro" in figures


def test_zone_similarity_by_hand():
    zones = np.array([[0, 1, 2, 0, 0, 0], [0, 0, 0, 0, 1, 2], [3, 3, 3, 3, 3, 3]], float)
    assert zone_similarity(zones, "zones")[0].tolist() == [0, -6, -15]
    assert zone_similarity(zones, "side")[0].tolist() == [0, -6, -3]
    assert zone_similarity(zones, "severity")[0].tolist() == [0, 0, -15]


def test_vectors_that_are_the_zones_agree_and_images_of_one_patient_do_not_count(folds):
    judge = ZoneJudge(folds, resamples=20, seed=0)
    scored = judge.figures([zone_similarity(judge.zones[judge.members(k)], "zones") for k in range(2)])
    best = {(f.queries, f.metric): f.value for f in scored}
    assert best["zones", "concordance"] == pytest.approx(1.0)
    assert best["zones", "spearman"] == pytest.approx(1.0)
    assert best["side", "concordance"] < 1.0
    own = []
    for k in range(2):
        patients = np.array([folds.zoned[i].patient_id for i in judge.members(k)])
        similarity = zone_similarity(judge.zones[judge.members(k)], "zones")
        own.append(np.where(patients[:, None] == patients[None, :], 99.0, similarity))
    assert [f.value for f in judge.figures(own)] == [f.value for f in scored]


def test_unknown_methods_and_empty_lists_are_refused():
    with pytest.raises(ConfigError, match="'klip', is 'clip' meant"):
        CrossValidation(methods=("klip",)).suite()
    with pytest.raises(ConfigError, match="at least one seed"):
        CrossValidation(seeds=()).suite()


def test_a_search_among_two_folds_is_refused(folds, tmp_path):
    with pytest.raises(ConfigError, match="needs three folds"):
        cross_validate(folds, CrossValidation(rates=(1e-3, 3e-3)), tmp_path)


def test_a_second_start_trains_nothing_and_the_results_hold_no_patient_and_no_note(manifest, tmp_path, monkeypatch):
    folds = make_folds(read_cohort(manifest, zones="zone_"), tmp_path / "out" / "corpus", folds=3, seed=0, size=64)
    settings = CrossValidation(methods=("clip",), rates=(1e-3, 3e-3), train=SMALL, resamples=20)
    out = tmp_path / "out"
    trained = []
    real = fold_run.train
    monkeypatch.setattr(fold_run, "train", lambda config: trained.append(config.out) or real(config))
    main, zones = cross_validate(folds, settings, out)
    assert len(trained) == 3 * 3  # three folds, each with two rates searched and the better one trained
    assert zones is not None
    write_findings(main, out)
    write_findings(zones, out / "zones")
    before = (out / "results.json").read_bytes()
    monkeypatch.setattr(fold_run, "train", lambda config: pytest.fail("trained again"))
    again, _ = cross_validate(folds, settings, out)
    write_findings(again, out)
    assert (out / "results.json").read_bytes() == before
    figures = {(f["method"], f["metric"], f["direction"], f["queries"]): f for f in json.loads(before)["figures"]}
    assert figures["clip", "R@1", "i2t", "all"]["n"] == len(folds.studies)
    assert set(zones.methods) == {"clip", "untrained", "pixels", "notes"}
    text = "".join(p.read_text() for p in (*out.glob("*.json"), *out.glob("*.md"), *out.glob("zones/*.*s*")))
    assert "person-" not in text
    assert "pleural effusion, film" not in text
    assert "1 training seed(s)" in (out / "table.md").read_text()


def test_without_zone_scores_there_is_the_rest(unscored, tmp_path):
    folds = make_folds(read_cohort(unscored, zones="zone_"), tmp_path / "corpus", folds=2, seed=0, size=64)
    settings = CrossValidation(methods=("clip",), rates=(1e-3,), train=SMALL, resamples=20)
    main, zones = cross_validate(folds, settings, tmp_path / "out")
    assert zones is None
    assert set(main.methods) == {"clip", "untrained"}
    assert torch.get_num_threads() == 1


def test_one_rate_is_the_rate_of_all_weights():
    job = fold_run.FoldJob("clip", 0, 0, (1e-3,))
    suite = CrossValidation(train=SMALL).suite()
    training = training_config(job.spec(suite, 7e-4).training)
    assert (training.optimizer.matrices, training.optimizer.learning_rate) == ("adamw", 7e-4)
    assert training.threads == 1
    assert load_suite("readme").train["recipe"] == "tiny-cpu"
    assert training_config(load_suite("readme").train).optimizer.matrices == "muon"
    asked = CrossValidation(train={**SMALL, "optimizer": {"matrices": "muon"}}).suite()
    assert training_config(job.spec(asked, 7e-4).training).optimizer.matrices == "muon"


def test_a_model_in_a_folder_is_told_by_its_name_and_known_by_its_content(folds, tmp_path):
    places = {}
    for name, content in (("a/model", "1"), ("b/model", "1"), ("c/model", "2")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(content)
        settings = CrossValidation(train={**SMALL, "model": {"checkpoint": str(folder)}, "data": {"workers": 1}})
        told = json.dumps(told_settings(settings))
        assert str(tmp_path) not in told
        assert json.loads(told)["train"]["model"] == {"checkpoint": "model"}
        job = fold_run.FoldJob("clip", 0, 0, (1e-3,))
        places[name] = job.place(settings.suite(), folds, tmp_path / "out")
    assert places["a/model"] == places["b/model"] != places["c/model"]


def test_the_macro_figure_is_the_mean_of_what_is_defined(folds):
    """Of a label whose positives share no fold with a negative nothing is known: it counts in neither."""
    truth = {a.study_id: {f.disease for f in a.findings} for a in folds.annotations}
    rng = np.random.default_rng(0)
    scores = [
        {
            label: {
                s.study_id: float(rng.random())
                for s in folds.test(fold)
                if label != "consolidation" or (label in truth[s.study_id]) == (fold == 0)
            }
            for label in fold_run.labels()
        }
        for fold in range(2)
    ]
    bootstrap = PatientBootstrap([s.patient_id for s in folds.studies], resamples=9, seed=1)
    figures = {f.label: f for f in pooled_zero_shot(scores, folds, bootstrap)}
    macro = figures.pop("macro")
    assert np.isnan(figures["consolidation"].value)
    known = [f for f in figures.values() if f.value == f.value]
    assert macro.value == pytest.approx(np.mean([f.value for f in known]))
    np.testing.assert_allclose(macro.replicates, np.nanmean([f.replicates for f in known], axis=0))


def test_mined_triplets_are_of_the_training_studies(folds, tmp_path, monkeypatch):
    settings = CrossValidation(methods=("paper",), rates=(1e-3,), train=SMALL, resamples=20)
    suite = settings.suite()
    seen = []

    def spied(config):
        seen.append(config.data.triplets)
        named = pq.read_table(config.data.triplets, columns=["anchor", "positive", "negative"])
        used = {s for column in named.columns for s in column.to_pylist()}
        assert used <= {s.study_id for s in folds.split(1, searching=False) if s.split == "train"}
        raise KeyboardInterrupt

    monkeypatch.setattr(fold_run, "train", spied)
    with pytest.raises(KeyboardInterrupt):
        fold_run.run_fold(fold_run.FoldJob("paper", 1, 0, (1e-3,)), suite, folds, tmp_path / "out")
    assert [path.name for path in seen] == ["training.triplets.parquet"]


def test_the_untrained_network_of_a_run_from_a_checkpoint_is_that_checkpoint(folds, monkeypatch):
    given = []
    monkeypatch.setattr(fold_run, "load_checkpoint", lambda name: given.append(name) or "bundle")
    suite = CrossValidation(train={**SMALL, "model": {"checkpoint": "some/model"}}).suite()
    job = fold_run.FoldJob(fold_run.UNTRAINED, 0, 0, (1e-3,))
    assert fold_run._fresh(job, suite, folds) == "bundle"
    assert given == ["some/model"]
