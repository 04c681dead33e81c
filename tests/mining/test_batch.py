"""The in-batch miner against three nested loops."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.batch import BatchConfig, mine_batch
from medtrim.mining.similarity import encode_studies, score_matrix

RNG = np.random.default_rng


def plain_triplets(scores, config):
    size = range(len(scores))
    return [
        (a, p, n)
        for a in size
        for p in size
        for n in size
        if len({a, p, n}) == 3
        and scores[a, p] >= config.positive_floor
        and config.negative_floor <= scores[a, n] < config.ceiling
        and scores[a, n] < scores[a, p]
        and scores[a, p] - scores[a, n] >= config.min_gap - 1e-12
    ]


levels = st.sampled_from((0.0, 0.2, 0.25, 0.283333333333, 0.425, 0.6, 0.85, 0.9, 1.0))
blocks = st.integers(0, 7).flatmap(lambda n: st.lists(levels, min_size=n * n, max_size=n * n))
options = st.fixed_dictionaries(
    {
        "positive_floor": st.sampled_from((0.0, 0.25, 0.6, 0.9)),
        "negative_floor": st.sampled_from((0.0, 0.2, 0.25)),
        "ceiling": st.sampled_from((0.6, 0.9, float("inf"))),
        "min_gap": st.sampled_from((0.0, 0.05, 0.35)),
    }
)


@given(blocks, options)
def test_all_admissible_triplets_and_no_others(values, options):
    scores = np.array(values, np.float64).reshape(int(len(values) ** 0.5), -1) if values else np.zeros((0, 0))
    config = BatchConfig(**options, limit=0)
    mined = mine_batch(scores, config, rng=RNG(0))
    expected = plain_triplets(scores, config)
    assert sorted(map(tuple, mined.indices.tolist())) == expected
    assert mined.counts["admissible"] == len(expected)
    assert mined.counts["anchors"] == len({a for a, _, _ in expected})
    for (a, p, n), sp, sn in zip(mined.indices, mined.positive_score, mined.negative_score, strict=True):
        assert (sp, sn) == (scores[a, p], scores[a, n])


def test_a_limit_keeps_a_uniform_sample_without_repeats(drawn):
    scores = score_matrix(encode_studies(drawn(24)))
    every = {tuple(t) for t in mine_batch(scores, BatchConfig(limit=0), rng=RNG(0)).indices.tolist()}
    seen: Counter[tuple[int, ...]] = Counter()
    for seed in range(400):
        mined = mine_batch(scores, BatchConfig(limit=len(every) // 4), rng=RNG(seed))
        kept = [tuple(t) for t in mined.indices.tolist()]
        assert len(set(kept)) == len(kept) == len(every) // 4
        assert mined.counts["admissible"] == len(every)
        seen.update(kept)
    assert set(seen) == every
    assert 50 < min(seen.values()) <= max(seen.values()) < 160  # 100 expected, standard deviation 9


def test_same_seed_same_sample(drawn):
    scores = score_matrix(encode_studies(drawn(60)))
    config = BatchConfig(limit=100)
    first, again, other = (mine_batch(scores, config, rng=RNG(s)).indices for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(MiningError, match="not finite"):
        mine_batch(np.full((3, 3), np.nan), rng=RNG(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ceiling": 0.2}, "semi_hard < ceiling"),
        ({"negative_floor": 0.7}, "negative_floor < ceiling"),
        ({"limit": -1}, "none may be negative"),
        ({"min_gap": -0.1}, "none may be negative"),
    ],
)
def test_settings_out_of_order_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(BatchConfig(), **change)
