"""The paper's miner against a plain loop and against the authors' code."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.pairs import pair_scores
from medtrim.mining.pool import PoolConfig, draw_subsets, mine_pools
from medtrim.mining.pool_choice import choose
from medtrim.mining.similarity import ScoreConfig, ScoreWeights, encode_studies, score_matrix
from medtrim.mining.triplets import FALLBACK, KINDS, LOWEST, SEMI_HARD
from medtrim.types import Annotation, Finding, schemas
from medtrim.types.tables import conform

SMALL = PoolConfig(iterations=20, pool_size=64, mini_pools=8, mini_pool_size=12)


def plain_choice(scores, ties, lowest, config):
    """One mini-pool, read off the rules of the design."""
    positive = max(range(len(scores)), key=lambda i: (scores[i], ties[i]))
    rest = sorted((i for i in range(len(scores)) if i != positive), key=lambda i: (scores[i], ties[i]))
    if lowest:
        return positive, rest[0], LOWEST
    semi = [i for i in rest if config.semi_hard <= scores[i] < config.ceiling]
    if semi:
        return positive, semi[0], SEMI_HARD
    below = [i for i in rest if scores[i] < config.semi_hard]
    return positive, min(below, key=lambda i: (-scores[i], ties[i]), default=-1), FALLBACK


@pytest.mark.parametrize("levels", [[0.0, 0.25, 0.6, 0.85], [0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.9, 1.0], [0.0]])
def test_choices_equal_the_plain_loop(levels):
    rng = np.random.default_rng(1)
    config = PoolConfig()
    scores = rng.choice(levels, (300, 6))
    ties = rng.permuted(np.tile(np.arange(6, dtype=np.uint16), (300, 1)), axis=1)
    lowest = rng.random(300) < 0.3
    choice = choose(scores, ties, lowest, config)
    for i in range(300):
        positive, negative, kind = plain_choice(scores[i], ties[i], lowest[i], config)
        assert (choice.positive[i], choice.negative[i]) == (positive, negative)
        if negative >= 0:
            assert choice.kind[i] == kind


def test_choices_score_as_those_of_the_authors_code(reference):
    matrix = score_matrix(encode_studies(reference["annotations"]))
    anchors = np.array([pool["anchor"] for pool in reference["pools"]])
    others = np.array([[i for i in pool["pool"] if i != pool["anchor"]] for pool in reference["pools"]])
    scores = matrix[anchors[:, None], others]
    ties = np.zeros(scores.shape, np.uint16)
    choice = choose(scores, ties, np.zeros(len(scores), bool), PoolConfig())
    assert (choice.negative >= 0).all()
    for role in ("positive", "negative"):
        chosen = scores[np.arange(len(scores)), getattr(choice, role)]
        expected = [pool[f"{role}_score"] for pool in reference["pools"]]
        np.testing.assert_allclose(chosen, expected, rtol=0, atol=1e-9)


def test_mined_triplets_keep_the_published_rules(drawn):
    encoded = encode_studies(drawn(200))
    scores = score_matrix(encoded)
    mined = mine_pools(encoded, SMALL, np.random.default_rng(3))
    assert mined.counts["anchors"] == 20 * 8
    assert mined.counts["triplets"] + mined.counts["no_negative"] == 160
    assert len(mined) == mined.counts["triplets"] > 100
    a, p, n = mined.indices.T
    assert ((a != p) & (a != n) & (p != n)).all()
    np.testing.assert_array_equal(scores[a, p], mined.positive_score)
    np.testing.assert_array_equal(scores[a, n], mined.negative_score)
    assert (mined.negative_score < 0.6).all()
    assert ((mined.negative_score >= 0.25) == (mined.kind == SEMI_HARD)).all()
    assert mined.counts["equal_scores"] == (mined.negative_score >= mined.positive_score).sum()


def test_lowest_rule_and_dropping_of_equal_scores(drawn):
    encoded = encode_studies(drawn(200))
    config = dataclasses.replace(SMALL, p_semi_hard=0.0, drop_equal=True, mini_pool_size=3)
    mined = mine_pools(encoded, config, np.random.default_rng(0))
    assert (mined.kind == LOWEST).all()
    assert mined.counts["dropped_equal"] > 0
    assert (mined.positive_score > mined.negative_score).all()


def test_same_seed_same_triplets_and_another_seed_others(drawn):
    encoded = encode_studies(drawn(200))
    first, again, other = (mine_pools(encoded, SMALL, np.random.default_rng(s)).indices for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first[:50] != other[:50]).any()


def test_iterations_beyond_one_shard_go_on_with_another_stream(drawn):
    encoded = encode_studies(drawn(100))
    config = dataclasses.replace(SMALL, iterations=300, mini_pools=2)
    done = []
    mined = mine_pools(encoded, config, np.random.default_rng(0), progress=lambda d, t: done.append((d, t)))
    assert mined.counts["anchors"] == 600
    assert done[-1] == (300, 300)
    assert len(done) == 3
    threads = mine_pools(encoded, config, np.random.default_rng(0), workers=2)
    np.testing.assert_array_equal(threads.indices, mined.indices)


def test_weights_beyond_the_keys_are_refused(drawn):
    encoded = encode_studies(drawn(20), ScoreConfig(weights=ScoreWeights(30.0, 1.0, 1.0)))
    with pytest.raises(ConfigError, match="weights sum to 32"):
        mine_pools(encoded)


def test_a_corpus_smaller_than_a_mini_pool_is_its_own_pool(drawn):
    mined = mine_pools(encode_studies(drawn(9, seed=2)), PoolConfig(iterations=4), np.random.default_rng(0))
    assert mined.counts["anchors"] == 128
    assert mined.indices.max() < 9


def test_single_pairs_equal_the_matrix(drawn):
    for mode in ("faithful", "symmetric"):
        encoded = encode_studies(drawn(150), ScoreConfig(mode=mode))
        expected = score_matrix(encoded)
        x, y = np.divmod(np.arange(150 * 150), 150)
        x, y = encoded.inverse[x], encoded.inverse[y]
        np.testing.assert_array_equal(pair_scores(encoded, x, y), expected.reshape(-1))


def test_mining_without_a_table_gives_the_same(drawn, monkeypatch):
    encoded = encode_studies(drawn(120))
    expected = mine_pools(encoded, SMALL, np.random.default_rng(1)).indices
    monkeypatch.setattr("medtrim.mining.pool.TABLE_LIMIT", 0)
    np.testing.assert_array_equal(mine_pools(encoded, SMALL, np.random.default_rng(1)).indices, expected)


def test_subsets_are_uniform_and_without_repeats():
    subsets = draw_subsets(6000, 6, 3, np.random.default_rng(0))
    counts = Counter(tuple(sorted(row)) for row in subsets.tolist())
    assert len(counts) == 20
    assert all(len(set(subset)) == 3 for subset in counts)
    assert max(counts.values()) < 380  # 300 expected; beyond 4.7 standard deviations
    assert min(counts.values()) > 220


def test_table_holds_ids_scores_and_kinds(drawn):
    encoded = encode_studies(drawn(60))
    mined = mine_pools(encoded, SMALL, np.random.default_rng(0))
    table = conform(mined.to_table(encoded.study_ids), schemas.TRIPLETS, table="triplets")
    row = table.to_pylist()[7]
    assert [row["anchor"], row["positive"], row["negative"]] == [f"s{i}" for i in mined.indices[7]]
    assert row["negative_score"] == mined.negative_score[7]
    assert row["negative_kind"] == KINDS[mined.kind[7]]


def test_corpora_without_triplets_say_why():
    with pytest.raises(MiningError, match="holds 2 study"):
        mine_pools(encode_studies([Annotation("a"), Annotation("b")]))
    with pytest.raises(MiningError, match="all 5 studies are normal"):
        mine_pools(encode_studies([Annotation(str(i)) for i in range(5)]))
    edema = (Finding("edema", "present"),)
    with pytest.raises(MiningError, match="all 5 studies are annotated alike"):
        mine_pools(encode_studies([Annotation(str(i), edema) for i in range(5)]))
    mild = (Finding("edema", "present", ("mild",)),)
    alike = [Annotation(str(i), mild if i else edema) for i in range(5)]
    with pytest.raises(MiningError, match="none of 64 mini-pools"):
        mine_pools(encode_studies(alike), PoolConfig(iterations=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"semi_hard": 0.7}, "semi_hard < ceiling"),
        ({"semi_hard": -0.1}, "0 ≤ semi_hard"),
        ({"iterations": 0}, "must be 1 or more"),
        ({"mini_pool_size": 2}, "3 ≤ mini_pool_size"),
        ({"mini_pool_size": 600}, "mini_pool_size ≤ pool_size"),
        ({"p_semi_hard": 1.5}, "allowed: 0 to 1"),
    ],
)
def test_settings_out_of_order_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(PoolConfig(), **change)
