"""The numbers of docs/mining.md."""

from __future__ import annotations

import numpy as np
import pytest

from medtrim.mining.batch import BatchConfig, mine_batch
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.pool_choice import choose
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.similarity import ScoreConfig, encode_studies, score_matrix
from medtrim.mining.triplets import FALLBACK, SEMI_HARD
from medtrim.types import Annotation, Finding

NAMES = "ABCDEFG"
EFFUSION = "pleural effusion"


def finding(disease: str, adjectives: tuple[str, ...] = (), directions: tuple[str, ...] = ()) -> Finding:
    return Finding(disease, "present", adjectives, directions)


SMALL_LEFT = finding(EFFUSION, ("small",), ("left",))
CORPUS = [
    Annotation("A", (SMALL_LEFT,)),
    Annotation("B", (SMALL_LEFT,)),
    Annotation("C", (finding(EFFUSION, ("large",), ("right",)),)),
    Annotation("D", (finding("atelectasis", (), ("left", "basal")), SMALL_LEFT)),
    Annotation(
        "E",
        (
            finding("cardiomegaly", ("mild",)),
            finding("edema", ("mild",)),
            finding(EFFUSION, ("small",), ("left", "right")),
        ),
    ),
    Annotation("F"),
    Annotation("G"),
]
ENCODED = encode_studies(CORPUS)
SCORES = score_matrix(ENCODED)


def of_a(indices) -> set[str]:
    return {"".join(NAMES[i] for i in row) for row in indices.tolist() if row[0] == 0}


def test_scores():
    np.testing.assert_allclose(SCORES[0], [1, 1, 0.85, 0.575, 0.85 / 3 + 0.125, 0, 0], atol=1e-12)
    assert SCORES[0, 4] == pytest.approx(0.4083, abs=1e-4)
    assert SCORES[4, 0] == pytest.approx(0.3250, abs=1e-4)
    symmetric = score_matrix(encode_studies(CORPUS, ScoreConfig(mode="symmetric")))
    assert symmetric[0, 4] == symmetric[4, 0] == pytest.approx(0.3250, abs=1e-4)
    assert SCORES[5, 6] == 0.85


@pytest.mark.parametrize(
    ("others", "positive", "negatives", "kind"), [("BCEF", "B", "E", SEMI_HARD), ("CFG", "C", "FG", FALLBACK)]
)
def test_mini_pools(others, positive, negatives, kind):
    scores = SCORES[:1, [NAMES.index(name) for name in others]]
    choice = choose(scores, np.zeros(scores.shape, np.uint16), np.zeros(1, bool), PoolConfig())
    assert others[choice.positive[0]] == positive
    assert others[choice.negative[0]] in negatives
    assert choice.kind[0] == kind


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"ABE"}),
        ({"strategy": "hardest"}, {"ABD"}),
        ({"positives": 2, "negatives": 2}, {"ABE", "ABD", "ACE", "ACD"}),
        ({"attribute_hard": 1.0}, {"ABC"}),
        ({"attribute_hard": 1.0, "axes": ("side",)}, {"ABC"}),
    ],
)
def test_corpus_miner(options, expected):
    assert of_a(mine_corpus(ENCODED, CorpusConfig(**options)).indices) == expected


def test_strata_and_slack():
    seen, slack = set(), set()
    for seed in range(20):
        seen |= of_a(mine_corpus(ENCODED, CorpusConfig(strategy="stratified"), seed=seed).indices)
        slack |= of_a(mine_corpus(ENCODED, CorpusConfig(slack=0.2), seed=seed).indices)
    assert seen == {"ABF", "ABG", "ABD", "ABE", "ABC"}
    assert slack == {"ABD", "ABE"}


def test_batch():
    mined = mine_batch(SCORES, BatchConfig(limit=0), rng=np.random.default_rng(0))
    assert of_a(mined.indices) == {f"A{p}{n}" for p in "BC" for n in "DEFG"}
    assert len(mined) == 34
    graded = BatchConfig(limit=0, positive_floor=0.0, ceiling=float("inf"), min_gap=0.1)
    mined = mine_batch(SCORES, graded, rng=np.random.default_rng(0))
    assert len(mined) == 70
    assert len(of_a(mined.indices)) == 14
    assert "ABC" in of_a(mined.indices)
