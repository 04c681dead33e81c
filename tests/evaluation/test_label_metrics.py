from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.label_metrics import auprc, auroc, best_threshold, curve, f1, score_label


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40))
def test_weighted_metrics_equal_sklearn_on_repeated_studies(rows):
    scores = np.array([float(s) for s, _, _ in rows])
    positive = np.array([p for _, p, _ in rows])
    weights = np.array([[float(w), 1.0] for _, _, w in rows])
    found = curve(scores, positive, weights)
    decided = f1(scores >= 3, positive, weights)
    for i, weight in enumerate(weights.T):
        repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
        y, s = positive[repeated], scores[repeated]
        if y.any() and not y.all():
            assert auroc(found)[i] == pytest.approx(roc_auc_score(y, s))
        else:
            assert np.isnan(auroc(found)[i])
        if y.any():
            assert auprc(found)[i] == pytest.approx(average_precision_score(y, s))
            assert decided[i] == pytest.approx(f1_score(y, s >= 3))
        else:
            assert np.isnan(auprc(found)[i])


def plain_f1(positive: np.ndarray, named: np.ndarray) -> float:
    true = sum(p and n for p, n in zip(positive, named, strict=True))
    return 2 * true / (sum(positive) + sum(named))


def test_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, positive = rng.integers(0, 8, 30).astype(float), rng.random(30) < 0.3
        positive[0] = True
        chosen = best_threshold(scores, positive)
        reached = {t: plain_f1(positive, scores >= t) for t in scores}
        assert reached[chosen] == max(reached.values())
        assert chosen == max(t for t, v in reached.items() if v == reached[chosen])
    assert best_threshold(np.ones(3), np.zeros(3, bool)) == float("inf")


def test_replicates_are_the_metrics_of_the_resample():
    rng = np.random.default_rng(1)
    scores, positive = rng.normal(size=30), rng.random(30) < 0.4
    patients = [f"p{i // 2}" for i in range(30)]
    bootstrap = PatientBootstrap(patients, resamples=15)
    rows = np.arange(30)
    found = score_label(scores, positive, rows, bootstrap, threshold=0.2)
    for i in range(15):
        drawn = np.repeat(rows, bootstrap.study_weights(rows)[:, i].astype(int))
        assert found.replicates["AUROC"][i] == pytest.approx(roc_auc_score(positive[drawn], scores[drawn]))
        assert found.replicates["F1"][i] == pytest.approx(f1_score(positive[drawn], scores[drawn] >= 0.2))
    assert found.values["AUPRC"] == pytest.approx(average_precision_score(positive, scores))
