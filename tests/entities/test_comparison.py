"""Change since the prior study and measured size: which finding they are of."""

from __future__ import annotations

import pytest

from medtrim.entities import Recognizer

RECOGNIZER = Recognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Unchanged left effusion.", ["unchanged"]),
        ("The left effusion has increased, now moderate.", ["larger"]),
        ("No change in the right effusion or the edema.", ["unchanged", "unchanged"]),
        ("Interval decrease in bilateral effusions and edema.", ["smaller", "smaller"]),
        ("Small left effusion and moderate cardiomegaly are unchanged.", ["unchanged", "unchanged"]),
        ("Unchanged effusion and new consolidation.", ["unchanged", "new"]),
        ("Persistent effusion, slightly smaller.", ["smaller"]),
        ("Edema has almost completely resolved.", ["partially resolved"]),
        ("The pneumothorax has resolved.", ["resolved"]),
        ("Pneumothorax is no longer seen.", ["resolved"]),
        ("Left effusion. It has increased.", ["larger"]),
        ("Left effusion. It has resolved.", ["resolved"]),
        ("No new consolidation.", [None]),
        ("The consolidation has not resolved.", [None]),
        ("Small effusion.", [None]),
    ],
)
def test_change(text: str, expected: list[str | None]) -> None:
    assert [f.change for f in RECOGNIZER.annotate_text(text)] == expected


def test_change_is_a_mention_of_its_own() -> None:
    (finding,) = RECOGNIZER.annotate_text("The effusion is larger.")
    assert [(m.text, m.role) for m in finding.mentions] == [("effusion", "disease"), ("larger", "change")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.3 cm nodule in the left upper lobe.", [23.0]),
        ("A nodule measuring 8 x 12 mm in the right lung.", [12.0]),
        ("A nodule of 8 mm x 1.2 cm.", [12.0]),
        ("Small effusion and a 4-mm calcified nodule.", [None, 4.0]),
        ("ETT ends 4.2 cm above the carina.", [None]),
        ("Right pneumothorax, 1,5 cm.", [15.0]),
        ("Nodule 2 cm from the hilum.", [None]),
    ],
)
def test_size(text: str, expected: list[float | None]) -> None:
    assert [f.size_mm for f in RECOGNIZER.annotate_text(text)] == expected
