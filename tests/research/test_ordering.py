from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from research.ordering import by_query, concordance, spearman

LEVELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=12)


def slow_concordance(scores, relevance):
    ahead = pairs = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if relevance[i] > relevance[j]:
                pairs += 1
                ahead += 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
    return ahead / pairs if pairs else float("nan")


@given(LEVELS)
def test_concordance_counts_pairs(pairs):
    scores, relevance = (np.array(side, float) for side in zip(*pairs, strict=True))
    assert concordance(scores, relevance) == pytest.approx(slow_concordance(scores, relevance), nan_ok=True)


def test_concordance_of_a_perfect_a_reversed_and_a_constant_order():
    relevance = np.array([0.0, 0.2, 0.2, 1.0])
    assert concordance(np.array([1.0, 2, 3, 4]), relevance) == 1.0
    assert concordance(np.array([4.0, 3, 2, 1]), relevance) == 0.0
    assert concordance(np.zeros(4), relevance) == 0.5
    assert np.isnan(concordance(np.arange(4.0), np.ones(4)))


def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(0)
    scores, relevance = rng.integers(0, 4, 20).astype(float), rng.integers(0, 3, 20).astype(float)
    assert spearman(scores, relevance) == pytest.approx(spearmanr(scores, relevance).statistic)
    assert np.isnan(spearman(scores, np.ones(20)))
    assert np.isnan(spearman(scores[:2], relevance[:2]))


def test_ndcg_by_hand_with_a_tie_and_a_left_out_column():
    scores = np.array([[0.9, 0.5, 0.5, 1.0]])
    relevance = np.array([[0.0, 0.5, 1.0, 1.0]])
    allowed = np.array([[True, True, True, False]])
    gained = 0.0 + 0.5 / np.log2(3) + 1.0 / np.log2(4)
    ideal = 1.0 + 0.5 / np.log2(3)
    assert by_query("ndcg", scores, relevance, allowed)[0] == pytest.approx(gained / ideal)
    assert np.isnan(by_query("ndcg", scores, np.zeros((1, 4)), allowed)[0])


def test_others_that_are_not_allowed_play_no_part():
    rng = np.random.default_rng(1)
    scores, relevance = rng.random((3, 8)), rng.integers(0, 3, (3, 8)).astype(float)
    allowed = np.ones((3, 8), bool)
    allowed[:, 5:] = False
    for measure in ("concordance", "spearman", "ndcg"):
        whole = by_query(measure, scores, relevance, allowed)
        cut = by_query(measure, scores[:, :5], relevance[:, :5], allowed[:, :5])
        np.testing.assert_array_equal(whole, cut)
