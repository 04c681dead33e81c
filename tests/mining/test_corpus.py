"""The corpus miner against a plain loop over all studies."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.conflicts import ConflictFinder
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.plan import cut_shards, draw_anchors
from medtrim.mining.similarity import ScoreConfig, encode_studies, score_matrix
from medtrim.mining.triplets import ATTRIBUTE_HARD, FALLBACK, HARDEST, HIGH, LOW, MIDDLE, SEMI_HARD
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Finding


def plain_conflict(a: Annotation, n: Annotation, config: ScoreConfig) -> bool:
    def described(annotation):
        found = {}
        for f in annotation.findings:
            if f.disease in config.diseases and f.assertion in config.assertions:
                found.setdefault(f.disease, set()).update(f.adjectives + f.directions)
        return found

    ours, theirs = described(a), described(n)
    return any(
        DEFAULT_CONTRADICTIONS.conflict(axis, ours[d], theirs[d])
        for d in ours
        if d in theirs
        for axis in DEFAULT_CONTRADICTIONS.axes
    )


def plain_partners(scores, i, allowed, config, conflicts):
    """(score → how many must be chosen at it) of the positives and of the negatives of anchor i, kinds apart."""

    def best(candidates, k, lowest=False):
        ordered = sorted(candidates, key=lambda j: scores[i, j], reverse=not lowest)
        return Counter(scores[i, j] for j in ordered[:k])

    others = [j for j in range(len(scores)) if allowed(i, j)]
    positives = best([j for j in others if scores[i, j] > config.min_positive], config.positives)
    if not positives:
        return positives, {}
    below = [j for j in others if scores[i, j] < min(positives)]
    if config.attribute_hard == 1 and any(conflicts[i][j] for j in below):
        return positives, {ATTRIBUTE_HARD: best([j for j in below if conflicts[i][j]], config.negatives)}
    semi = [j for j in below if config.semi_hard <= scores[i, j] < config.ceiling]
    low = [j for j in below if scores[i, j] < config.semi_hard]
    if config.strategy == "hardest":
        return positives, {HARDEST: best([j for j in below if scores[i, j] < config.ceiling], config.negatives)}
    if config.strategy == "semi-hard":
        chosen = best(semi, config.negatives, lowest=True)
        return positives, {SEMI_HARD: chosen, FALLBACK: best(low, config.negatives - chosen.total())}
    high = [j for j in below if scores[i, j] >= config.ceiling]
    sizes = {LOW: low, MIDDLE: semi, HIGH: high}
    return positives, {kind: min(len(members), config.negatives) for kind, members in sizes.items()}


OPTIONS = [
    {},
    {"positives": 3, "negatives": 2},
    {"strategy": "hardest", "negatives": 4},
    {"strategy": "stratified", "negatives": 2},
    {"attribute_hard": 1.0, "negatives": 2},
    {"attribute_hard": 1.0, "strategy": "stratified"},
    {"min_positive": 0.6, "other_patients": True, "positives": 2, "negatives": 3},
    {"other_patients": True, "strategy": "stratified", "positives": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("mode", ["faithful", "symmetric"])
@pytest.mark.parametrize("few", [0, 64])
def test_every_anchor_gets_what_the_plain_loop_allows(drawn, monkeypatch, options, mode, few):
    # Both ways of drawing among equals: by priority and by rejection.
    monkeypatch.setattr("medtrim.mining.draws.FEW", few)
    monkeypatch.setattr("medtrim.mining.corpus.CHUNK", 5)
    corpus, score, config = drawn(75, seed=4), ScoreConfig(mode=mode), CorpusConfig(**options)
    encoded = encode_studies(corpus, score)
    scores = score_matrix(encoded)
    patients = np.arange(75) // 3
    mined = mine_corpus(encoded, config, seed=3, patients=patients)
    conflicts = [[plain_conflict(a, n, score) for n in corpus] for a in corpus]

    def allowed(i, j):
        return patients[i] != patients[j] if config.other_patients else i != j

    without_positive = without_negative = 0
    for i in range(len(corpus)):
        rows = mined.indices[:, 0] == i
        positives, negatives = plain_partners(scores, i, allowed, config, conflicts)
        expected = sum(n if isinstance(n, int) else n.total() for n in negatives.values())
        without_positive += not positives
        without_negative += bool(positives) and not expected
        assert rows.sum() == positives.total() * expected
        if not rows.any():
            continue
        p, n, kinds = mined.indices[rows, 1], mined.indices[rows, 2], mined.kind[rows]
        assert all(allowed(i, j) for j in {*p, *n})
        assert Counter(scores[i, j] for j in set(p)) == positives
        np.testing.assert_array_equal(mined.positive_score[rows], scores[i, p])
        np.testing.assert_array_equal(mined.negative_score[rows], scores[i, n])
        assert scores[i, n].max() < scores[i, p].min()
        for kind, wanted in negatives.items():
            chosen = set(n[kinds == kind])
            if isinstance(wanted, int):
                assert len(chosen) == wanted
            else:
                assert Counter(scores[i, j] for j in chosen) == wanted
        for kind, low, high in ((LOW, 0, 0.25), (MIDDLE, 0.25, 0.6), (HIGH, 0.6, 1)):
            assert all(low <= scores[i, j] < high for j in n[kinds == kind])
    assert mined.counts["no_positive"] == without_positive
    assert mined.counts["no_negative"] == without_negative
    assert mined.counts["triplets"] == len(mined)


def test_blocks_shards_and_workers_do_not_change_the_triplets(drawn, monkeypatch):
    encoded = encode_studies(drawn(150))
    config = CorpusConfig(positives=2, attribute_hard=0.4, strategy="stratified")
    expected = mine_corpus(encoded, config, seed=1)
    done = []
    monkeypatch.setattr("medtrim.mining.plan.SHARD_DISTINCT", 7)
    monkeypatch.setattr("medtrim.mining.corpus.BLOCK", 1)
    monkeypatch.setattr("medtrim.mining.blocks.BLOCK", 300)
    mined = mine_corpus(encoded, config, seed=1, progress=lambda d, t: done.append((d, t)))
    np.testing.assert_array_equal(mined.indices, expected.indices)
    assert mined.counts == expected.counts
    assert done[0] == (0, len(done) - 1)
    assert done[-1] == (len(done) - 1, len(done) - 1)
    assert (np.diff(mined.indices[:, 0]) >= 0).all()


def test_two_processes_give_the_same(drawn, monkeypatch):
    encoded = encode_studies(drawn(80))
    expected = mine_corpus(encoded, CorpusConfig(attribute_hard=0.5), seed=1)
    monkeypatch.setattr("medtrim.mining.plan.SHARD_DISTINCT", 20)
    mined = mine_corpus(encoded, CorpusConfig(attribute_hard=0.5), seed=1, workers=2)
    np.testing.assert_array_equal(mined.indices, expected.indices)


def test_another_seed_draws_other_studies(drawn):
    encoded = encode_studies(drawn(150))
    first, again, other = (mine_corpus(encoded, seed=s).indices for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_equals_are_used_evenly():
    """1,000 anchors with the same 1,000 candidates: nobody is the positive of many."""
    corpus = [Annotation(f"n{i}") for i in range(1000)] + [Annotation("e", (Finding("edema", "present"),))]
    mined = mine_corpus(encode_studies(corpus), seed=0)
    uses = np.bincount(mined.indices[:1000, 1], minlength=1000)
    assert uses.max() <= 8
    assert 0.30 < (uses == 0).mean() < 0.43  # 1/e for uniform draws


@pytest.mark.parametrize("options", [{}, {"strategy": "hardest"}, {"attribute_hard": 1.0}], ids=str)
def test_slack_spreads_negatives_within_its_bound(drawn, options):
    encoded = encode_studies(drawn(300))
    scores = score_matrix(encoded)
    exact = mine_corpus(encoded, CorpusConfig(**options), seed=0)
    loose = mine_corpus(encoded, CorpusConfig(**options, slack=0.1), seed=0)
    np.testing.assert_array_equal(loose.indices[:, 0], exact.indices[:, 0])
    np.testing.assert_array_equal(loose.kind, exact.kind)
    missed = np.abs(loose.negative_score - exact.negative_score)
    assert 0 < missed.max() <= 0.1 + 1e-9
    assert (loose.negative_score < loose.positive_score).all()
    np.testing.assert_array_equal(loose.negative_score, scores[loose.indices[:, 0], loose.indices[:, 2]])
    assert len(np.unique(loose.indices[:, 2])) > len(np.unique(exact.indices[:, 2]))


def test_share_of_attribute_hard_negatives_is_as_asked():
    sides = [
        Annotation(str(i), (Finding("edema", "present", (), (s,)),)) for i, s in enumerate(["left", "right"] * 500)
    ]
    corpus = [*sides, *(Annotation(f"n{i}") for i in range(50))]
    mined = mine_corpus(encode_studies(corpus), CorpusConfig(attribute_hard=0.3), seed=0)
    assert 0.25 < (mined.kind[:1000] == ATTRIBUTE_HARD).mean() < 0.35
    assert mined.counts["no_attribute_hard"] > 0  # the normal ones that were drawn for it
    hard = mined.indices[mined.kind == ATTRIBUTE_HARD]
    assert ((hard[:, 0] + hard[:, 2]) % 2 == 1).all()


def test_conflicts_equal_the_plain_loop_on_each_axis(drawn):
    corpus = drawn(90)
    encoded = encode_studies(corpus)
    everyone = np.arange(encoded.distinct)
    whole = ConflictFinder(encoded).rows(everyone)[encoded.inverse][:, encoded.inverse]
    expected = [[plain_conflict(a, n, ScoreConfig()) for n in corpus] for a in corpus]
    np.testing.assert_array_equal(whole, expected)
    x, y = np.divmod(np.arange(90 * 90), 90)
    pairs = ConflictFinder(encoded).pairs(encoded.inverse[x], encoded.inverse[y])
    np.testing.assert_array_equal(pairs.reshape(90, 90), expected)
    rows, columns = np.arange(0, 90, 3), np.arange(89, -1, -2)
    block = ConflictFinder(encoded).block(encoded.inverse[rows], encoded.inverse[columns])
    np.testing.assert_array_equal(block, pairs.reshape(90, 90)[np.ix_(rows, columns)])
    assert block.any()
    parts = [ConflictFinder(encoded, axes=[axis]).rows(everyone) for axis in DEFAULT_CONTRADICTIONS.axes]
    np.testing.assert_array_equal(np.any(parts, axis=0)[encoded.inverse][:, encoded.inverse], expected)
    assert whole.any()
    with pytest.raises(ConfigError, match="allowed: side, zone, severity"):
        ConflictFinder(encoded, axes=["size"])


def test_balanced_anchors_are_as_often_of_a_rare_disease():
    common = [Annotation(f"c{i}", (Finding("edema", "present"),)) for i in range(900)]
    rare = [Annotation(f"r{i}", (Finding("fracture", "present"),)) for i in range(10)]
    encoded = encode_studies([*common, *rare, *(Annotation(f"n{i}") for i in range(90))])
    anchors = draw_anchors(encoded, CorpusConfig(balanced=True, anchors=3000), seed=0)
    shares = [(anchors < 900).mean(), ((anchors >= 900) & (anchors < 910)).mean(), (anchors >= 910).mean()]
    assert all(0.3 < share < 0.37 for share in shares)
    mined = mine_corpus(encoded, CorpusConfig(balanced=True, anchors=300), seed=0)
    assert mined.counts["anchors"] == 300
    again = mined.indices[np.isin(mined.indices[:, 0], range(900, 910))]
    assert len(np.unique(again[:, 1])) == 10  # occurrences of one anchor draw partners of their own


def test_a_sample_of_anchors_is_without_repeats_until_it_must_repeat(drawn):
    encoded = encode_studies(drawn(50))
    sample = draw_anchors(encoded, CorpusConfig(anchors=40), seed=0)
    assert len(set(sample.tolist())) == 40
    assert len(draw_anchors(encoded, CorpusConfig(anchors=70), seed=0)) == 70
    shards = cut_shards(encoded, sample)
    assert sorted(np.concatenate([s.places for s in shards]).tolist()) == list(range(40))


def test_a_patient_with_nearly_all_candidates(monkeypatch):
    """Rejection has no luck where one of 300 candidates is admissible; the exact draw finds it."""
    monkeypatch.setattr("medtrim.mining.draws.ATTEMPTS", 2)
    edema = (Finding("edema", "present"),)
    corpus = [Annotation(str(i), edema) for i in range(300)] + [Annotation(f"n{i}") for i in range(9)]
    patients = np.array([0] * 299 + [1] * 10)
    mined = mine_corpus(encode_studies(corpus), CorpusConfig(other_patients=True), patients=patients)
    first = mined.indices[mined.indices[:, 0] < 299]
    assert len(first) == 299
    assert (first[:, 1] == 299).all()


def test_corpora_without_triplets_say_why(drawn):
    with pytest.raises(MiningError, match="holds 1 study"):
        mine_corpus(encode_studies(drawn(1)))
    with pytest.raises(MiningError, match="all 4 studies are normal"):
        mine_corpus(encode_studies([Annotation(str(i)) for i in range(4)]))
    different = [Annotation(d, (Finding(d, "present"),)) for d in ("edema", "fracture", "pneumonia")]
    with pytest.raises(MiningError, match="3 have no positive above 0"):
        mine_corpus(encode_studies(different))
    with pytest.raises(MiningError, match="needs a patient for every study"):
        mine_corpus(encode_studies(drawn(20)), CorpusConfig(other_patients=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"semi_hard": 0.6}, "semi_hard < ceiling"),
        ({"strategy": "easy"}, "allowed: semi-hard, hardest, stratified"),
        ({"positives": 0}, "needed: at least 1, 1 and 0"),
        ({"attribute_hard": 1.1}, "share from 0 to 1"),
        ({"min_positive": -1.0}, "0 or more"),
    ],
)
def test_settings_out_of_order_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CorpusConfig(), **change)
