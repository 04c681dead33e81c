"""Pooling over the folds of a cross-validation, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtrim.errors import TableError
from medtrim.evaluation import EvaluationResult, PatientBootstrap, pool_folds
from medtrim.evaluation.figures import QueryValues, figure_of, make_figure, mean_values

RESAMPLES = 400


def fold_of(
    name: str, values: np.ndarray, *, seed: int = 0, denominator: np.ndarray | None = None
) -> EvaluationResult:
    """An evaluation of queries with `values`, two a patient."""
    bootstrap = PatientBootstrap([f"{name}{i // 2}" for i in range(len(values))], resamples=RESAMPLES, seed=seed)
    query_values = mean_values("R@1", values) if denominator is None else QueryValues("R@1", values, denominator)
    rows = np.arange(len(values))
    figure = figure_of(query_values, rows, bootstrap, direction="i2t", group="all", own_in_gallery=True)
    ids = tuple(f"{name}{i}" for i in rows)
    facts = {"studies": len(values), "patients": bootstrap.patients, "unread": 1}
    return EvaluationResult("m", (figure,), f"print of {name}", facts=facts, study_ids=ids)


def test_means_over_queries_are_those_over_all_queries_and_their_interval_that_of_all_patients():
    rng = np.random.default_rng(0)
    values = [(rng.random(n) < 0.6).astype(float) for n in (90, 120, 150)]
    values[1][:10] = np.nan
    folds = [fold_of(name, v, seed=i) for i, (name, v) in enumerate(zip("abc", values, strict=True))]
    (pooled,) = pool_folds(folds).figures
    everything = np.concatenate(values)
    defined = everything[np.isfinite(everything)]
    assert pooled.value == pytest.approx(defined.mean())
    assert (pooled.n, pooled.patients) == (350, 175)
    for b in (0, 17, RESAMPLES - 1):
        top = sum(f.figures[0].n * f.figures[0].replicates[b] for f in folds)
        assert pooled.replicates[b] == pytest.approx(top / 350)
    whole = fold_of("all", everything).figures[0]
    assert pooled.high - pooled.low == pytest.approx(whole.high - whole.low, rel=0.15)


def test_a_figure_is_pooled_over_the_folds_that_define_it():
    one, two, three = (fold_of(name, np.array([0.0, 1.0] * 5)) for name in "abc")
    label = make_figure("probe 100%", "AUROC", 0.8, np.full(RESAMPLES, 0.8), n=10, patients=5, label="edema")
    undefined = replace(label, value=float("nan"), replicates=np.full(RESAMPLES, np.nan))
    found = pool_folds([replace(one, figures=(label,)), two, replace(three, figures=(undefined,))])
    by_metric = {f.metric: f for f in found.figures}
    assert by_metric["AUROC"].value == pytest.approx(0.8)
    assert by_metric["R@1"].n == 10
    assert np.isfinite(by_metric["AUROC"].replicates).all()


def test_where_all_queries_succeed_the_interval_has_a_width():
    (pooled,) = pool_folds([fold_of(name, np.ones(10)) for name in "ab"]).figures
    assert (pooled.value, pooled.high) == (1.0, 1.0)
    assert pooled.low == pytest.approx(0.025 ** (1 / 10))
    ranks = replace(pooled, metric="median rank")
    (rank,) = pool_folds([replace(fold_of(name, np.ones(10)), figures=(ranks,)) for name in "ab"]).figures
    assert (rank.value, rank.low, rank.high) == (1.0, 1.0, 1.0), "a rank is no share"


def test_facts_and_fingerprint_are_of_all_folds_in_order():
    one, two = fold_of("a", np.ones(4)), fold_of("b", np.zeros(6))
    pooled = pool_folds([one, two])
    assert pooled.facts == {"folds": 2, "studies": 10, "patients": 5, "unread": 2}
    assert pooled.study_ids == (*one.study_ids, *two.study_ids)
    assert pooled.fingerprint == pool_folds([one, two]).fingerprint != pool_folds([two, one]).fingerprint


def test_what_does_not_go_together_is_refused():
    one = fold_of("a", np.ones(4))
    with pytest.raises(TableError, match="no fold to pool"):
        pool_folds([])
    with pytest.raises(TableError, match="must not share studies"):
        pool_folds([one, one])
    short = replace(one.figures[0], replicates=np.ones(3))
    with pytest.raises(TableError, match="same number of resamples"):
        pool_folds([one, replace(fold_of("b", np.ones(4)), figures=(short,))])
