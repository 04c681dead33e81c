from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.errors import ConfigError
from medtrim.evaluation.statistics import SeedBootstrap, holm, percentile_interval, two_sided_p


def test_pooling_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(size=(3, 40))
    bootstrap = SeedBootstrap.make(seeds=3, resamples=40, variation="resampled", seed=1)
    pooled = []
    for b in range(40):
        drawn = [replicates[s, b] for s in bootstrap.draws[b]]
        pooled.append(sum(drawn) / 3)
    found = bootstrap.pool([1.0, 2.0, 6.0], replicates)
    assert found.value == pytest.approx(3.0)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(pooled, (0.025, 0.975))))
    assert found.p == pytest.approx(two_sided_p(np.array(pooled)))
    assert found.spread == pytest.approx(np.std([1, 2, 6], ddof=1))


def test_fixed_seeds_average_over_each_once() -> None:
    bootstrap = SeedBootstrap.make(seeds=2, resamples=5, variation="fixed", seed=0)
    replicates = np.array([[0.0, 1, 2, 3, 4], [10.0, 11, 12, 13, 14]])
    found = bootstrap.pool([2.0, 12.0], replicates)
    low, high = np.quantile(np.arange(5) + 5.0, (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_seeds_that_differ_widen_the_interval() -> None:
    replicates = np.random.default_rng(0).normal(size=(3, 400)) * 0.01 + np.array([[0.0], [1.0], [2.0]])
    narrow = SeedBootstrap.make(seeds=3, resamples=400, variation="fixed", seed=0).pool([0.0, 1.0, 2.0], replicates)
    wide = SeedBootstrap.make(seeds=3, resamples=400, variation="resampled", seed=0).pool(
        [0.0, 1.0, 2.0], replicates
    )
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_methods_share_the_draws_of_seeds() -> None:
    draws = [SeedBootstrap.make(seeds=3, resamples=9, variation="resampled", seed=2).draws for _ in range(2)]
    assert np.array_equal(*draws)


def test_undefined_resamples_are_left_out() -> None:
    assert percentile_interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(v) for v in percentile_interval(np.array([np.nan])))
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
    bootstrap = SeedBootstrap.make(seeds=2, resamples=3, variation="fixed", seed=0)
    with pytest.raises(ConfigError, match="pooling 2 seeds × 3 resamples"):
        bootstrap.pool([1.0], np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="seed variation"):
        SeedBootstrap.make(seeds=2, resamples=3, variation="some", seed=0)
    with pytest.raises(ConfigError, match="at least one seed"):
        SeedBootstrap.make(seeds=0, resamples=3, variation="fixed", seed=0)
