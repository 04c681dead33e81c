from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap, interval, lower_median
from medtrim.evaluation.figures import figure_of, mean_values
from medtrim.evaluation.gallery import auc_effect

PATIENTS = ["b", "a", "b", "c", "a", "d"]
ROWS = np.arange(6)


def resampled(bootstrap: PatientBootstrap, resample: int) -> list[int]:
    """The studies of one resample, written out."""
    names = sorted(set(PATIENTS))
    return [
        row
        for i, patient in enumerate(names)
        for _ in range(int(bootstrap.weights[resample, i]))
        for row in ROWS
        if PATIENTS[row] == patient
    ]


def test_ratio_and_median_equal_the_statistic_of_the_written_out_resample():
    bootstrap = PatientBootstrap(PATIENTS, resamples=60, seed=4)
    top = np.array([1.0, 0.0, 3.0, 1.0, 0.5, 2.0])
    bottom = np.array([1.0, 1.0, 4.0, 0.0, 1.0, 2.0])
    ratios, medians = bootstrap.ratio(top, bottom, ROWS), bootstrap.median(top, ROWS)
    for i in range(60):
        rows = resampled(bootstrap, i)
        assert len(rows) >= 1
        below = bottom[rows].sum()
        assert ratios[i] == pytest.approx(top[rows].sum() / below, nan_ok=True) if below else np.isnan(ratios[i])
        assert medians[i] == lower_median(top[rows])


def test_weights_depend_on_the_set_of_patients_alone():
    one = PatientBootstrap(PATIENTS, resamples=5, seed=1)
    other = PatientBootstrap(sorted(PATIENTS), resamples=5, seed=1)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert (one.weights.sum(axis=1) == one.patients).all()
    assert not np.array_equal(one.weights, PatientBootstrap(PATIENTS, resamples=5, seed=2).weights)


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        values = rng.normal(size=80)
        bounds = interval(
            PatientBootstrap([str(i) for i in range(80)], resamples=400, seed=trial).ratio(
                values, np.ones(80), np.arange(80)
            )
        )
        inside += bounds.low <= 0 <= bounds.high
    assert 176 <= inside <= 198


def test_studies_of_one_patient_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 5)
    together = PatientBootstrap([str(i // 5) for i in range(200)], resamples=500)
    apart = PatientBootstrap([str(i) for i in range(200)], resamples=500)
    rows = np.arange(200)
    wide, narrow = (interval(b.ratio(values, np.ones(200), rows)) for b in (together, apart))
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_undefined_statistics_are_nan():
    bootstrap = PatientBootstrap(PATIENTS, resamples=4)
    assert np.isnan(bootstrap.ratio(np.zeros(6), np.zeros(6), ROWS)).all()
    assert np.isnan(bootstrap.median(np.zeros(0), ROWS[:0])).all()
    assert np.isnan(lower_median(np.zeros(0)))
    assert np.isnan(auc_effect(np.ones(3), np.ones(3, bool))[0])
    assert np.isnan(interval(np.full(3, np.nan)).low)


def test_refusals():
    with pytest.raises(TableError, match="patient id"):
        PatientBootstrap(["a", ""])
    with pytest.raises(ConfigError, match="resamples"):
        PatientBootstrap(["a"], resamples=0)


def test_a_share_of_all_or_none_has_an_interval_by_the_number_of_patients():
    rows = np.arange(14)
    bootstrap = PatientBootstrap([f"p{i // 2}" for i in range(14)], resamples=20)
    for value in (0.0, 1.0):
        values = mean_values("x", np.full(14, value))
        found = figure_of(values, rows, bootstrap, direction="i2t", group="abnormal", own_in_gallery=False)
        exact = binomtest(int(7 * value), 7).proportion_ci(0.95, method="exact")
        assert (found.low, found.high) == (pytest.approx(exact.low), pytest.approx(exact.high))
    half = mean_values("x", np.tile([0.0, 1.0], 7))
    found = figure_of(half, rows, bootstrap, direction="i2t", group="abnormal", own_in_gallery=False)
    assert (found.low, found.high) == (0.5, 0.5)  # every patient has one of each
