"""Assertion of a span, whatever its concept: the reason and the cue that decided it."""

from __future__ import annotations

import pytest

from medtrim.entities import Recognizer, assert_span

LEXICON = Recognizer().reader.lexicon


@pytest.mark.parametrize(
    ("sentence", "concept", "reason", "cue"),
    [
        ("The patient denies chest pain.", "chest pain", "negation", "denies"),
        ("He reports chest pain and denies fever.", "chest pain", "stated", None),
        ("He reports chest pain and denies fever.", "fever", "negation", "denies"),
        ("No murmurs, rubs or gallops.", "gallops", "negation", "No"),
        ("History of diabetes.", "diabetes", "history", "History of"),
        ("Possible cholecystitis.", "cholecystitis", "hedge", "Possible"),
        ("Cholecystitis was ruled out.", "Cholecystitis", "negation", "was ruled out"),
        ("Sepsis cannot be excluded.", "Sepsis", "hedge", "cannot be excluded"),
        ("Rule out sepsis.", "sepsis", "hypothetical", "Rule out"),
        ("The rash has resolved.", "rash", "resolved", "has resolved"),
        ("No change in the rash.", "rash", "stated", None),
        ("Liver size is within normal limits.", "Liver size", "normal", "within normal limits"),
        ("", "", "stated", None),
    ],
)
def test_reason_and_cue(sentence: str, concept: str, reason: str, cue: str | None) -> None:
    start = sentence.index(concept)
    found = assert_span(sentence, start, start + len(concept), lexicon=LEXICON)
    said = None if found.cue_start is None else sentence[found.cue_start : found.cue_end]
    assert (found.reason, said) == (reason, cue)
