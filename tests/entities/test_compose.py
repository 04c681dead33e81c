"""Cues of several words: what stands between them, and what they make of a finding."""

from __future__ import annotations

import pytest

from medtrim.entities import Recognizer

RECOGNIZER = Recognizer()


def assertions(text: str) -> list[str]:
    return [f.assertion for f in RECOGNIZER.annotate_text(text)]


@pytest.mark.parametrize(
    "text",
    [
        "A pneumothorax has not been convincingly identified.",
        "Pneumothorax isn't seen.",
        "Pneumothorax could not be found.",
        "Effusion is no longer present.",
        "We do not see an effusion.",
        "The study is negative for pneumonia.",
        "Pneumonia has been excluded.",
        "Nil effusion.",
        "No enlargement of the heart.",
    ],
)
def test_negated_verbs_of_seeing_deny(text: str) -> None:
    assert assertions(text) == ["absent"]


@pytest.mark.parametrize(
    "text",
    [
        "We cannot completely exclude an effusion.",
        "Unable to exclude effusion.",
        "Pneumonia can't be ruled out.",
        "Pneumonia would be hard to rule out.",
        "This does not exclude pneumonia.",
    ],
)
def test_what_cannot_be_excluded_is_uncertain(text: str) -> None:
    assert assertions(text) == ["uncertain"]


@pytest.mark.parametrize(
    "text",
    [
        "No appreciable interval change in the effusion.",
        "No growth of the nodule.",
        "Not much change in the effusion.",
        "The effusion has not resolved.",
        "No more than a trace effusion.",
        "Edema has almost completely resolved.",
        "Near-complete resolution of the effusion.",
        "Non-calcified nodule.",
        "There are signs of pneumonia.",
    ],
)
def test_denied_change_and_partial_resolution_leave_the_finding(text: str) -> None:
    assert assertions(text) == ["present"]


def test_a_word_after_non_describes_nothing() -> None:
    (finding,) = RECOGNIZER.annotate_text("Non-calcified right nodule.")
    assert (finding.adjectives, finding.directions) == ((), ("right",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pneumothorax, large right effusion.", ["absent", "present"]),
        ("No pneumothorax, stable cardiomegaly.", ["absent", "present"]),
        ("No pneumothorax, the effusion is small.", ["absent", "present"]),
        ("No pneumothorax, effusions persist.", ["absent", "present"]),
        ("No pneumothorax (small effusion).", ["absent", "present"]),
        ("No pneumothorax\nRight effusion", ["absent", "present"]),
        ("CT to exclude a mass; moderate effusion.", ["absent", "present"]),
        ("No pneumothorax, large effusion or consolidation.", ["absent", "absent", "absent"]),
        ("No effusion, atelectasis.", ["absent", "absent"]),
        ("No pneumothorax, focal consolidation.", ["absent", "absent"]),
    ],
)
def test_a_statement_ends_a_denied_list(text: str, expected: list[str]) -> None:
    assert assertions(text) == expected
