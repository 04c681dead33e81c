"""Labels that a user has, against OBER, on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtrim.entities import Recognizer
from medtrim.entities.compare import compare_annotations
from medtrim.entities.compare_page import comparison_page, kinds_of
from medtrim.entities.labels import read_labels, study_level
from medtrim.errors import TableError
from medtrim.types import Finding, Study

STUDIES = {
    "a": Study("a", "", findings="Small left effusion. No <b>pneumothorax</b>."),
    "b": Study("b", "", findings="Possible edema. Clear lungs."),
}


def labels(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["study_id,Pleural Effusion,Edema,Pneumothorax,Support Devices", *lines]))
    return path


def test_labels_are_read_by_column_and_value(tmp_path: Path) -> None:
    first, second = read_labels(labels(tmp_path / "l.csv", "a,1.0,,0,", "b,,-1,,1"))
    assert first.findings == (Finding("pleural effusion", "present"), Finding("pneumothorax", "absent"))
    assert second.findings == (Finding("edema", "uncertain"), Finding("device", "present"))


@pytest.mark.parametrize(("line", "message"), [("a,2,,,", "is '2', expected"), (",1,,,", "no study id")])
def test_other_values_are_errors(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_labels(labels(tmp_path / "l.csv", line))


def test_a_table_without_labels_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("study_id,age\na,1\n")
    with pytest.raises(TableError, match="no column is named after a disease"):
        read_labels(path)


def test_the_page_shows_disagreements_by_kind_with_their_sentences(tmp_path: Path) -> None:
    recognizer = Recognizer()
    theirs = read_labels(labels(tmp_path / "l.csv", "a,0,,1,", "b,,1,,"))
    ours = study_level(
        [recognizer.annotate(s) for s in STUDIES.values()], ("pleural effusion", "edema", "pneumothorax")
    )
    found = compare_annotations(ours, theirs)
    kinds = kinds_of(found, STUDIES)
    assert [(k.name, k.count) for k in kinds] == [
        ("edema: uncertain here, present there", 1),
        ("pleural effusion: present here, absent there", 1),
        ("pneumothorax: absent here, present there", 1),
    ]
    example = kinds[1].examples[0]
    assert (example.before, example.named, example.after) == ("Small left ", "effusion", ".")
    page = comparison_page(found, STUDIES, names=("ours", "theirs"))
    assert "<mark>effusion</mark>" in page
    assert "&lt;b&gt;" in page


def test_the_strongest_finding_of_a_study_counts() -> None:
    annotation = Recognizer().annotate(Study("a", "", findings="No edema. Mild edema on the right."))
    (only,) = study_level([annotation], ("edema", "pneumonia"))
    assert [(f.disease, f.assertion, f.adjectives) for f in only.findings] == [("edema", "present", ())]
