"""Repairing misspelled finding words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities.lexicon import Lexicon
from medtrim.entities.ontology import load_ontology
from medtrim.entities.typos import TypoIndex, one_edit

LETTERS = st.text("abc", max_size=6)


def all_edits(word: str) -> set[str]:
    """Everything one edit away, over the letters a, b, c."""
    made = {word[:i] + word[i + 1 :] for i in range(len(word))}
    made |= {word[:i] + c + word[i + 1 :] for i in range(len(word)) for c in "abc"}
    made |= {word[:i] + c + word[i:] for i in range(len(word) + 1) for c in "abc"}
    made |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    return made - {word}


@given(LETTERS, LETTERS)
def test_one_edit_against_making_every_edit(a: str, b: str) -> None:
    assert one_edit(a, b) == (b in all_edits(a))


@pytest.mark.parametrize(
    ("word", "correct"),
    [
        ("pneumothroax", "pneumothorax"),
        ("efusion", "effusion"),
        ("effusionn", "effusion"),
        ("consolodation", "consolidation"),
        ("effusion", None),
        ("affusion", None),  # another first letter
        ("effsuoin", None),  # two edits
        ("edma", None),  # too short to be sure
    ],
)
def test_correction(word: str, correct: str | None) -> None:
    index = TypoIndex(["effusion", "pneumothorax", "consolidation", "edema"])
    assert index.correct(word) == correct


def test_a_word_between_two_is_left_alone() -> None:
    assert TypoIndex(["abcdefgh", "abcdefgx"]).correct("abcdefgy") is None


def test_a_word_spelled_like_a_finding_is_no_finding() -> None:
    lexicon = Lexicon(load_ontology())
    assert lexicon.keys("hemithorax") == ()
    assert lexicon.keys("injection") == ()
    assert lexicon.keys("pneumothroax") != ()
