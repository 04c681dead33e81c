"""Explaining a report: pieces join to the text, marks link mentions to findings, the page is safe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities import Recognizer
from medtrim.entities.explain import Explanation, explain, to_html
from medtrim.types import Sections, Study

RECOGNIZER = Recognizer()


def explained(findings: str, impression: str = "") -> Explanation:
    study = Study("s", "p", findings=findings, impression=impression)
    return explain(Sections(findings, impression), RECOGNIZER.annotate(study).findings, RECOGNIZER.ontology)


def test_marks_link_a_descriptor_to_each_finding_it_describes() -> None:
    explanation = explained("Left effusion and atelectasis.")
    marks = {piece.text: piece.marks for piece in explanation.sections[0].pieces}
    assert [(m.finding, m.role) for m in marks["Left"]] == [(1, "direction"), (2, "direction")]
    assert [p.opens for p in explanation.sections[0].pieces if p.text == "atelectasis"] == [(2,)]


def test_the_page_names_the_cue_and_escapes_the_report() -> None:
    page = to_html([("a <b>", explained("No effusion <script>alert(1)</script>.", "Possible edema."))])
    assert "a &lt;b&gt;" in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<script>") == 1
    assert 'class="m cue absent"' in page
    assert "“Possible”" in page
    assert "http" not in page.split("</style>")[1]


@given(st.text(max_size=200), st.sampled_from(["", " small left effusion, no edema", "\nMild cardiomegaly"]))
def test_pieces_join_to_the_text(text: str, more: str) -> None:
    explanation = explained(text + more, more)
    assert ["".join(p.text for p in s.pieces) for s in explanation.sections] == [
        t for t in (text + more, more) if t
    ]
