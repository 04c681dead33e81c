"""The vectorised score against a plain loop and against the authors' code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.errors import ConfigError, TableError
from medtrim.mining.similarity import (
    ScoreConfig,
    ScoreWeights,
    encode_studies,
    explain_score,
    score_matrix,
    similarity_terms,
)
from medtrim.types import Annotation, Finding

DISEASES = ("edema", "fracture", "pneumonia")


def plain_score(a: Annotation, r: Annotation, config: ScoreConfig) -> float:
    """Design equation, transcribed with Python sets."""

    def sets(annotation, kind):
        found = {}
        for f in annotation.findings:
            if f.disease in config.diseases and f.assertion in config.assertions:
                found.setdefault(f.disease, set()).update(getattr(f, kind))
        return found

    def jac(x, y):
        return 1.0 if not x and not y else len(x & y) / len(x | y)

    adj_a, adj_r = sets(a, "adjectives"), sets(r, "adjectives")
    dir_a, dir_r = sets(a, "directions"), sets(r, "directions")
    d_a, d_r = set(adj_a) or {"no finding"}, set(adj_r) or {"no finding"}
    shared = [d for d in sorted(d_a & d_r) if d != "no finding"]
    n = len(d_a) if config.mode == "faithful" else len(d_a | d_r)
    w = config.weights
    return (
        w.disease * jac(d_a, d_r)
        + w.adjective * sum(jac(adj_a[d], adj_r[d]) for d in shared) / n
        + w.direction * sum(jac(dir_a[d], dir_r[d]) for d in shared) / n
    )


words = st.lists(st.sampled_from([f"w{i}" for i in range(70)]), max_size=4, unique=True).map(
    lambda w: tuple(sorted(w))
)
findings = st.lists(
    st.builds(
        Finding,
        disease=st.sampled_from((*DISEASES, "granuloma")),
        assertion=st.sampled_from(("present", "uncertain", "absent")),
        adjectives=words,
        directions=words,
    ),
    max_size=5,
).map(tuple)
corpora = st.lists(findings, max_size=8).map(lambda fs: [Annotation(str(i), f) for i, f in enumerate(fs)])
# Plain values: runtime type checks draw random numbers, which strategies must not.
settings_of = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(("faithful", "symmetric")),
        "diseases": st.sampled_from((DISEASES, (*DISEASES, "granuloma"), ("fracture",))),
        "assertions": st.sampled_from((("present",), ("present", "uncertain"))),
    }
)
weights = st.tuples(*[st.floats(0.01, 3.0)] * 3)


@given(corpora, weights, settings_of)
def test_every_pair_equals_the_plain_loop(corpus, weights, options):
    config = ScoreConfig(weights=ScoreWeights(*weights), **options)
    scores = score_matrix(encode_studies(corpus, config))
    expected = np.array([[plain_score(a, r, config) for r in corpus] for a in corpus]).reshape(scores.shape)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)
    for i, a in enumerate(corpus):
        for j, r in enumerate(corpus):
            assert explain_score(a, r, config).score == pytest.approx(expected[i, j], abs=1e-9)


def test_a_vocabulary_beyond_one_word_of_bits():
    names = tuple(f"adjective {i:03}" for i in range(200))
    corpus = [Annotation(str(i), (Finding("edema", "present", names[i : i + 90]),)) for i in range(0, 110, 7)]
    config = ScoreConfig()
    expected = [[plain_score(a, r, config) for r in corpus] for a in corpus]
    np.testing.assert_allclose(score_matrix(encode_studies(corpus)), expected, rtol=0, atol=1e-12)


def test_more_diseases_than_one_word_of_bits():
    names = tuple(f"disease {i:03}" for i in range(130))
    corpus = [
        Annotation(str(i), tuple(Finding(d, "present", ("mild",)) for d in names[i : i + 70]))
        for i in range(0, 60, 9)
    ]
    config = ScoreConfig(diseases=names)
    expected = [[plain_score(a, r, config) for r in corpus] for a in corpus]
    np.testing.assert_allclose(score_matrix(encode_studies(corpus, config)), expected, rtol=0, atol=1e-12)


def test_scores_equal_the_authors_code(reference):
    encoded = encode_studies(reference["annotations"])
    first = np.arange(len(reference["scores"]))
    np.testing.assert_allclose(score_matrix(encoded, first, first), reference["scores"], rtol=0, atol=1e-9)


def test_terms_add_up_to_the_score(drawn):
    for mode in ("faithful", "symmetric"):
        config = ScoreConfig(weights=ScoreWeights(0.5, 0.2, 0.3), mode=mode)
        encoded = encode_studies(drawn(80), config)
        anchors, references = np.array([3, 3, 70, 0]), np.arange(79, 10, -1)
        terms = similarity_terms(encoded, anchors, references)
        total = 0.5 * terms.disease + 0.2 * terms.adjective + 0.3 * terms.direction
        np.testing.assert_allclose(score_matrix(encoded, anchors, references), total, atol=1e-11)
        for term in (terms.disease, terms.adjective, terms.direction):
            assert term.shape == (4, 69)
            assert term.min() >= 0
            assert term.max() <= 1


def test_symmetric_mode_is_symmetric_and_the_faithful_one_is_not(drawn):
    symmetric = score_matrix(encode_studies(drawn(120), ScoreConfig(mode="symmetric")))
    np.testing.assert_array_equal(symmetric, symmetric.T)
    faithful = score_matrix(encode_studies(drawn(120)))
    assert (faithful != faithful.T).any()


def test_two_normal_studies_score_the_disease_weight():
    corpus = [Annotation("a"), Annotation("b", (Finding("edema", "absent", ("mild",)),))]
    np.testing.assert_array_equal(score_matrix(encode_studies(corpus)), np.full((2, 2), 0.85))


def test_equal_on_paper_is_equal_in_floating_point():
    """1/3 + 1/3 + 1/2 in any order of the diseases: one score, so miners see a tie."""

    def study(name: str, parts: list[int]) -> Annotation:
        sizes = zip(DISEASES, parts, strict=True)
        return Annotation(
            name, tuple(Finding(d, "present", tuple(f"w{i}" for i in range(size))) for d, size in sizes)
        )

    corpus = [study("anchor", [1, 1, 1])] + [study(f"{p}", p) for p in ([3, 3, 2], [3, 2, 3], [2, 3, 3])]
    scores = score_matrix(encode_studies(corpus), np.array([0]))[0, 1:]
    assert len(set(scores.tolist())) == 1


def test_distinct_annotations_are_kept_once_in_order_of_appearance():
    effusion = (Finding("pleural effusion", "present", ("small",), ("left",)),)
    split = (
        Finding("pleural effusion", "uncertain", ("small",)),
        Finding("pleural effusion", "present", (), ("left",)),
        Finding("pneumothorax", "absent"),
    )
    encoded = encode_studies([Annotation("n"), Annotation("x", effusion), Annotation("m"), Annotation("y", split)])
    assert encoded.inverse.tolist() == [0, 1, 0, 1]
    assert encoded.counts.tolist() == [2, 2]
    assert encoded.is_normal.tolist() == [True, False, True, False]


def test_empty_corpus_encodes_to_nothing():
    encoded = encode_studies([])
    assert len(encoded) == 0
    assert score_matrix(encoded).shape == (0, 0)


def test_index_of_names_unknown_ids(drawn):
    encoded = encode_studies(drawn(4))
    assert encoded.index_of(["s3", "s0"]).tolist() == [3, 0]
    with pytest.raises(TableError, match="1 study id.*'nobody'"):
        encoded.index_of(["s1", "nobody"])


def test_duplicate_ids_and_unknown_assertions_are_refused():
    with pytest.raises(TableError, match="duplicate study id.*'a'"):
        encode_studies([Annotation("a"), Annotation("a")])
    with pytest.raises(TableError, match="'a': unknown assertion 'maybe'"):
        encode_studies([Annotation("a", (Finding("edema", "maybe"),))])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "other"}, "allowed: faithful, symmetric"),
        ({"diseases": ()}, "no disease counts"),
        ({"diseases": ("edema", "edema")}, "repeated"),
        ({"diseases": ("edema", "no finding")}, "no disease"),
        ({"assertions": ("maybe",)}, "allowed: present, uncertain, absent"),
        ({"assertions": ()}, "allowed: present, uncertain, absent"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ScoreConfig(), **change)


@pytest.mark.parametrize("weights", [(-0.1, 0.5, 0.5), (float("nan"), 1.0, 1.0), (0.0, 0.0, 0.0)])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(ConfigError, match="score weight"):
        ScoreWeights(*weights)
