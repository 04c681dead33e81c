"""Matching against nested loops, and overlap resolution under its total order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities.lexicon import Lexicon, Term
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.ontology import load_ontology
from medtrim.entities.tokens import Tokens, tokenize

LEXICON = Lexicon(load_ontology())
WORDS = st.sampled_from(
    (
        *("no", "change", "in", "the", "pleural", "effusion", "effusions", "XXXX", "left", "lower", "lobe", "zzz"),
        *(
            "opacification",
            "air",
            "space",
            "airspace",
            "disease",
            "not",
            "excluded",
            "heart",
            "size",
            "of",
            "normal",
        ),
    )
)


def nested_loops(tokens: Tokens, lexicon: Lexicon) -> list[tuple[int, int, tuple[str, ...]]]:
    keys = [lexicon.keys(word) for word in tokens.words]
    found = []
    for start in range(len(keys)):
        for words in lexicon.terms:
            at = start
            for number, word in enumerate(words):
                while number and at < len(keys) and not tokens.words[at]:
                    at += 1
                if at >= len(keys) or word not in keys[at]:
                    break
                at += 1
            else:
                found.append((start, at, words))
    return sorted(found)


@given(st.lists(WORDS, max_size=9).map(" ".join))
def test_the_trie_finds_what_nested_loops_find(sentence: str) -> None:
    tokens = tokenize(sentence)
    words_of = {id(term): words for words, term in LEXICON.terms.items()}
    found = sorted((m.start, m.end, words_of[id(m.term)]) for m in find_matches(tokens, LEXICON))
    assert found == nested_loops(tokens, LEXICON)


SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), max_size=12)


@given(SPANS)
def test_resolution_is_longest_first_then_leftmost(spans: list[tuple[int, int]]) -> None:
    items = [Item(1, start, start + length, Term()) for start, length in sorted(spans)]
    left = list(items)
    expected: list[Item] = []
    while left:
        best = min(left, key=lambda m: (m.start - m.end, m.start, items.index(m)))
        expected.append(best)
        left = [m for m in left if m.end <= best.start or m.start >= best.end]
    kept = resolve_overlaps(items)
    assert [(m.start, m.end) for m in kept] == sorted((m.start, m.end) for m in expected)


@given(SPANS, st.randoms(use_true_random=False))
def test_resolution_does_not_depend_on_the_order_of_matches_of_different_spans(spans, random) -> None:
    spans = list(dict.fromkeys(spans))
    items = [Item(1, start, start + length, Term()) for start, length in sorted(spans)]
    shuffled = list(items)
    random.shuffle(shuffled)
    kept = {(m.start, m.end) for m in resolve_overlaps(items)}
    assert {(m.start, m.end) for m in resolve_overlaps(shuffled)} == kept


def test_the_longest_phrase_wins() -> None:
    items = resolve_overlaps(find_matches(tokenize("no more than the left pleural effusion"), LEXICON))
    words = tokenize("no more than the left pleural effusion").words
    assert [" ".join(words[m.start : m.end]) for m in items] == [
        "no more than",
        "the",
        "left",
        "pleural effusion",
    ]
