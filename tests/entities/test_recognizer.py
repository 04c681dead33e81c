"""The recogniser as a whole: findings, descriptors, assertions, offsets."""

from __future__ import annotations

import pytest

from medtrim.entities import Recognizer
from medtrim.types import Study


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def test_two_sides_of_one_noun_are_two_findings(recognizer: Recognizer) -> None:
    found = recognizer.annotate_text("Small left and large right pleural effusion.")
    assert [(f.disease, f.adjectives, f.directions) for f in found] == [
        ("pleural effusion", ("small",), ("left",)),
        ("pleural effusion", ("large",), ("right",)),
    ]


def test_a_term_at_the_end_of_a_clause_is_found(recognizer: Recognizer) -> None:
    found = recognizer.annotate_text("Large right pneumothorax without effusion")
    assert [(f.disease, f.assertion) for f in found] == [
        ("pneumothorax", "present"),
        ("pleural effusion", "absent"),
    ]
    assert found[0].adjectives == ("large",)
    assert found[1].adjectives == ()


def test_offsets_slice_to_the_mention(recognizer: Recognizer) -> None:
    study = Study(
        "s",
        "p",
        findings="No effusion.\n Mild  bibasilar XXXX\natelectasis.",
        impression="1. Cardiomegaly. It is mild.",
    )
    annotation = recognizer.annotate(study)
    text = {"findings": study.findings, "impression": study.impression}
    mentions = [m for f in annotation.findings for m in f.mentions]
    assert {m.text for m in mentions} == {
        "No",
        "effusion",
        "Mild",
        "bibasilar",
        "atelectasis",
        "Cardiomegaly",
        "mild",
    }
    assert all(text[m.section][m.start : m.end] == m.text for m in mentions)


def test_a_sentence_goes_on_about_the_finding_before_it(recognizer: Recognizer) -> None:
    (found,) = recognizer.annotate_text(
        "There is a pleural effusion. It is small and on the left. Lungs are clear."
    )
    assert (found.adjectives, found.directions) == (("small",), ("left",))


def test_empty_text_has_no_findings(recognizer: Recognizer) -> None:
    assert recognizer.annotate(Study("s", "p")).findings == ()
