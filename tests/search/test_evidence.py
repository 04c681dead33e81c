from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medtrim.entities import Recognizer, load_ontology
from medtrim.search.evidence import Part, cut_report
from medtrim.types import Finding, Mention

REPORT = "Small left effusion 🫁 and basal atelectasis. No pneumothorax."


def finding(*spans: tuple[int, int], section: str = "findings") -> Finding:
    return Finding("edema", "present", mentions=tuple(Mention(section, s, e, "", "disease") for s, e in spans))


def test_parts_are_what_the_recogniser_read() -> None:
    findings = Recognizer(load_ontology()).annotate_text(REPORT)
    parts = cut_report(REPORT, "findings", findings)
    read = {findings[i].disease: [p.text for p in parts if i in p.findings] for i in range(len(findings))}
    assert read["pleural effusion"] == ["Small", "left", "effusion"]
    assert read["atelectasis"] == ["basal", "atelectasis"]
    assert read["pneumothorax"][-1] == "pneumothorax"


def test_mentions_may_overlap() -> None:
    parts = cut_report("abcdef", "findings", [finding((0, 4)), finding((2, 6))])
    assert parts == (Part("ab", (0,)), Part("cd", (0, 1)), Part("ef", (1,)))


def test_another_section_and_offsets_out_of_the_text_mark_nothing() -> None:
    findings = [finding((0, 2), section="impression"), finding((3, 99)), finding((2, 2)), finding((-1, 2))]
    assert cut_report("abc", "findings", findings) == (Part("abc"),)
    assert cut_report("", "findings", findings) == ()


@given(
    st.text(max_size=30),
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=3), max_size=4),
)
def test_parts_joined_are_the_text_and_each_character_has_the_findings_that_span_it(
    text: str, spans: list[list[tuple[int, int]]]
) -> None:
    findings = [finding(*of_one) for of_one in spans]
    parts = cut_report(text, "findings", findings)
    assert "".join(p.text for p in parts) == text
    held = [p.findings for p in parts for _ in p.text]
    for place in range(len(text)):  # the plain loop
        expected = [i for i, own in enumerate(spans) if any(s <= place < e <= len(text) for s, e in own)]
        assert list(held[place]) == expected
