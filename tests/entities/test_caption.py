from __future__ import annotations

import pytest

from medtrim.entities import Recognizer, captions_of
from medtrim.entities.caption import NORMAL, caption
from medtrim.types import Finding

SAME = (
    "There is a small left pleural effusion. No pneumothorax.",
    "IMPRESSION: Small effusion on the left side.",
    "Left-sided pleural effusion, small. The heart is normal in size.",
)


def test_other_words_for_the_same_findings_give_the_same_caption():
    assert captions_of(SAME) == ["small left pleural effusion"] * 3


def test_order_repeats_denials_and_what_the_score_does_not_count_are_not_said():
    told = [
        Finding("pleural effusion", "present", ("small",), ("left",)),
        Finding("edema", "uncertain", ("mild",)),
        Finding("pneumothorax", "absent"),
        Finding("hernia", "present"),
    ]
    expected = "possible mild edema. small left pleural effusion"
    assert caption(told) == caption([*told[::-1], told[0]]) == expected


def test_a_finding_that_is_repeated_with_less_detail_is_said_once():
    text = (
        "Small left effusion and moderate right effusion. Streaky bibasilar atelectasis. IMPRESSION: Left effusion."
    )
    assert captions_of([text]) == [
        "streaky basal left right atelectasis. moderate right pleural effusion. small left pleural effusion"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No acute cardiopulmonary abnormality.", NORMAL),
        ("No pleural effusion.", NORMAL),
        ("", ""),
        ("Please correlate clinically.", "Please correlate clinically."),
    ],
)
def test_a_text_that_was_not_read_stays_and_is_no_normal(text, expected):
    assert captions_of([text], Recognizer()) == [expected]


def test_captions_are_read_back_as_what_they_say():
    recognizer = Recognizer()
    said = captions_of(["Possible large right pneumothorax and moderate cardiomegaly. Patchy bibasilar opacities."])
    assert captions_of(said, recognizer) == said
