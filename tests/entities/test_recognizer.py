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


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Small effusion.", True),
        ("The lungs are clear.", True),
        ("No acute cardiopulmonary process.", True),
        ("Right PICC in place.", False),
        ("Status post fall.", False),
        ("", False),
        ("Kein Pneumothorax. Kleiner Pleuraerguss links.", False),
        ("Sem consolidação ou derrame pleural.", False),
    ],
)
def test_silence_and_other_languages_are_not_read(text: str, read: bool) -> None:
    annotation = Recognizer().annotate(Study("s", "", findings=text))
    assert annotation.read is read
    assert read or all(f.disease == "device" for f in annotation.findings)


def test_invisible_characters_and_ligatures_inside_words_hide_nothing() -> None:
    (finding,) = Recognizer().annotate_text("Left pneu\u00admo\u200bthorax.")
    assert (finding.disease, finding.mentions[1].text) == ("pneumothorax", "pneu\u00admo\u200bthorax")
    assert [f.disease for f in Recognizer().annotate_text("In\ufb01ltrate.")] == ["lung opacity"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L effusion, R pneumothorax.", [("left",), ("right",)]),
        ("B/L effusions.", [("left", "right")]),
        ("L1 fracture.", [()]),
        ("Mod. R pleural effusion.", [("right",)]),
        ("The right effusion has resolved, the left persists.", [("right",), ("left",)]),
        ("Moderate left, but no right, effusion.", [("left",), ("right",)]),
        ("Bilateral effusions, right greater than left.", [("left", "right")]),
        ("Right chest tube, and the pneumothorax is larger.", [("right",), ()]),
    ],
)
def test_sides(text: str, expected: list[tuple[str, ...]]) -> None:
    assert [f.directions for f in Recognizer().annotate_text(text)] == expected


@pytest.mark.parametrize("text", ["Knee joint effusion.", "Collapse of the T8 vertebral body.", "Thyroid mass."])
def test_findings_of_other_organs_are_none_of_the_chest(text: str) -> None:
    assert not Recognizer().annotate_text(text)
