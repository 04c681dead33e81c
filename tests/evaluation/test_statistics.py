from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from medtrim.errors import ConfigError
from medtrim.evaluation.bootstrap import interval
from medtrim.evaluation.statistics import SeedPool, holm, two_sided_p


def slow_pool(values: list[float], replicates: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard error and degrees of freedom, number by number."""
    seeds, resamples = replicates.shape
    mean = sum(values) / seeds
    between = sum((x - mean) ** 2 for x in values) / (seeds - 1) / seeds
    centred = [[x - sum(row) / resamples for x in row] for row in replicates.tolist()]
    of_mean = [sum(row[b] for row in centred) / seeds for b in range(resamples)]
    own = [sum((row[b] - of_mean[b]) ** 2 for row in centred) / (seeds - 1) for b in range(resamples)]
    variance = sum(m * m for m in of_mean) / (resamples - 1)
    shared = max(0.0, variance - sum(own) / resamples / seeds)
    total = between + shared
    return mean, math.sqrt(total), total**2 / (between**2 / (seeds - 1))


@pytest.mark.parametrize("spread", [0.01, 1.0, 20.0])
def test_pooling_equals_its_formula(spread: float) -> None:
    rng = np.random.default_rng(0)
    values = [1.0, 1.0 + spread, 1.0 - 2 * spread]
    replicates = np.array(values)[:, None] + rng.normal(size=40) + 0.5 * rng.normal(size=(3, 40))
    found = SeedPool(3).pool(values, replicates)
    mean, error, freedom = slow_pool(values, replicates)
    reach = t.ppf(0.975, freedom) * error
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach), rel=1e-4)
    assert found.p == pytest.approx(2 * t.sf(abs(mean) / error, freedom), rel=1e-4)
    assert found.spread == pytest.approx(np.std(values, ddof=1))


def test_where_seeds_dominate_it_is_the_t_interval_of_the_seeds() -> None:
    values = [0.3, 0.5, 0.7]
    replicates = np.array(values)[:, None] + 1e-6 * np.random.default_rng(0).normal(size=200)
    found = SeedPool(3).pool(values, replicates)
    assert (found.low, found.high) == pytest.approx(t.interval(0.95, 2, 0.5, 0.2 / math.sqrt(3)), abs=1e-6)


def test_where_patients_dominate_it_is_the_normal_interval() -> None:
    replicates = np.tile(np.random.default_rng(0).normal(size=400), (3, 1))
    found = SeedPool(3).pool([0.0, 1e-6, -1e-6], replicates)
    assert found.high == pytest.approx(1.96 * replicates[0].std(ddof=1), rel=1e-3)


def test_what_patients_do_to_one_model_alone_counts_once() -> None:
    """Models that share nothing: the variance between seeds has it all."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=5)
    found = SeedPool(5).pool(values.tolist(), values[:, None] + rng.normal(size=(5, 4000)))
    low, high = t.interval(0.95, 4, values.mean(), values.std(ddof=1) / math.sqrt(5))
    assert high - low == pytest.approx(found.high - found.low, rel=0.1)


@pytest.mark.parametrize(("variation", "values"), [("fixed", [2.0, 12.0]), ("resampled", [2.0])])
def test_fixed_seeds_and_a_single_one_have_the_interval(variation: str, values: list[float]) -> None:
    replicates = np.array([[0.0, 1, 2, 3, 4], [10.0, 11, 12, 13, 14]])[: len(values)]
    found = SeedPool(len(values), variation).pool(values, replicates)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(replicates.mean(axis=0), (0.025, 0.975))))
    assert found.p == two_sided_p(replicates.mean(axis=0))


def test_what_does_not_vary_has_no_width_and_no_p() -> None:
    assert math.isnan(SeedPool(2).pool([0.5, 0.5], np.full((2, 9), 0.5)).p)
    found = SeedPool(2).pool([0.0, 0.0], np.zeros((2, 9)))
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)
    undefined = SeedPool(2).pool([0.5, float("nan")], np.full((2, 9), 0.5))
    assert math.isnan(undefined.value)
    assert math.isnan(undefined.low)


def test_undefined_resamples_are_left_out() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(v) for v in interval(np.array([np.nan])))
    assert math.isnan(two_sided_p(np.array([np.nan])))


@pytest.mark.parametrize(
    ("replicates", "p"),
    [([1.0] * 99, 2 / 100), ([-1.0] * 99, 2 / 100), ([-1.0, 1.0], 1.0), ([0.0] * 9, 1.0), ([1, 1, 1, -1], 0.8)],
)
def test_two_sided_p(replicates: list[float], p: float) -> None:
    assert two_sided_p(np.array(replicates, np.float64)) == pytest.approx(p)


def test_holm_on_a_worked_example() -> None:
    # 0.01 · 4, 0.02 · 3, 0.03 · 2, then 0.04 · 1, which may not fall below the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_leaves_undefined_ones_out() -> None:
    adjusted = holm([0.01, float("nan"), 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)


def slow_holm(p_values: list[float]) -> list[float]:
    """From the definition: reject while p_(i) ≤ α / (m − i); the adjusted p is the least α that rejects."""
    m = len(p_values)
    ranked = sorted(p_values)
    adjusted = []
    for p in p_values:
        rank = ranked.index(p)
        adjusted.append(min(1.0, max((m - j) * ranked[j] for j in range(rank + 1))))
    return adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True))
def test_holm_equals_its_definition(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(slow_holm(p_values))
    assert all(a >= p for a, p in zip(holm(p_values), p_values, strict=True))


def test_wrong_shapes_and_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="pooling 2 seeds"):
        SeedPool(2).pool([1.0], np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="seed variation"):
        SeedPool(2, "some")
    with pytest.raises(ConfigError, match="at least one seed"):
        SeedPool(0)
