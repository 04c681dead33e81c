from __future__ import annotations

import re

import numpy as np
import pytest

from medtrim.data.phantom import Case, Lesion, Patient, Technique, report, sample_case, write_report
from medtrim.data.phantom.wording import diameter_cm
from medtrim.data.phantom.world import load_world
from medtrim.types import Sections

PLAIN = Case(Patient("F", 40), Technique())
CASES = [sample_case(np.random.default_rng(i)) for i in range(400)]
REPORTS = [write_report(case, np.random.default_rng(i)) for i, case in enumerate(CASES)]
# Words by which a reader recognises a disease in a report.
NAMES = {
    "atelectasis": "atelecta",
    "cardiomegaly": "cardiomegaly|(heart|silhouette).*enlarged|enlargement of the cardiac",
    "consolidation": "consolidation",
    "edema": "edema",
    "enlarged cardiomediastinum": "mediastin.*widen|widening of the",
    "fracture": "fracture",
    "lung lesion": "nodule|mass",
    "lung opacity": "opacit",
    "pleural effusion": "effusion|fluid",
    "pleural other": "pleural (thickening|scarring)",
    "pneumonia": "pneumonia",
    "pneumothorax": "pneumothora",
}
NEGATION = re.compile(r"\b(no|negative for|not seen|absent|without)\b", re.IGNORECASE)


def _text(sections: Sections) -> str:
    return f"{sections.findings} {sections.impression}".strip()


def _affirmed(sections: Sections) -> str:
    """The report's sentences up to their negation, if they have one."""
    sentences = re.split(r"(?<=[.])\s", _text(sections))
    return " ".join(NEGATION.split(s)[0] if not s.startswith("No ") else s.partition("but")[2] for s in sentences)


@pytest.fixture
def tell_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FINDING_OMITTED", 0.0)
    monkeypatch.setattr(report, "ADJECTIVES_OMITTED", 0.0)


@pytest.mark.usefixtures("tell_all")
def test_every_drawn_finding_is_said_with_its_sides_and_severity() -> None:
    for i, case in enumerate(CASES):
        text = _affirmed(write_report(case, np.random.default_rng(i))).lower()
        for lesion in case.lesions:
            assert re.search(NAMES[lesion.disease], text), (lesion, text)
            tables = load_world("A").words
            words = [*tables["adjectives"].get(lesion.severity, []), *tables["adverbs"].get(lesion.severity, [])]
            assert not lesion.severity or any(w in text for w in [*words, "trace"]), (lesion, text)
            if len(lesion.sides) == 2:
                assert re.search(r"bilateral|both|bi(basil|apic)", text), (lesion, text)
            for side in lesion.sides if len(lesion.sides) == 1 else ():
                assert side in text or f" {side[0]}" in text, (lesion, text)


def test_few_findings_are_left_out() -> None:
    said = [
        bool(re.search(NAMES[lesion.disease], _affirmed(text).lower()))
        for case, text in zip(CASES, REPORTS, strict=True)
        for lesion in case.lesions
    ]
    assert 0.97 < np.mean(said) <= 1.0


def test_nothing_drawn_is_denied() -> None:
    denial = {
        "pleural effusion": r"\bno [^.]*effusion",
        "pneumothorax": r"\bno [^.]*pneumothorax",
        "fracture": r"\bno [^.]*fracture",
        "edema": r"\bno [^.]*edema",
        "lung lesion": r"\bno [^.]*(nodule|mass)",
        "cardiomegaly": r"heart (size )?is (normal|not)|silhouette is (normal|within)",
    }
    for case, text in zip(CASES, REPORTS, strict=True):
        for disease, pattern in denial.items():
            sentences = re.split(r"[.;]|\bbut\b", _text(text).lower())
            denied = any(re.search(pattern, s) for s in sentences)
            assert not (denied and case.of(disease)), (disease, text)


def test_most_reports_deny_something_or_call_something_normal() -> None:
    normal = re.compile(r"\bno\b|normal|clear|unremarkable|intact|negative|midline|within", re.IGNORECASE)
    assert np.mean([bool(normal.search(_text(r))) for r in REPORTS]) > 0.8
    assert np.mean([bool(NEGATION.search(_text(r))) for r in REPORTS]) > 0.6


def test_suspicions_are_hedged_and_certainties_are_not() -> None:
    hedge = re.compile(r"possibl|probable|questionable|may be|cannot be|suggestive|suspected", re.IGNORECASE)
    for assertion, wanted in (("uncertain", True), ("present", False)):
        lesion = Lesion("pneumothorax", ("left",), "apical", "small", assertion=assertion)
        for i in range(40):
            text = _text(write_report(Case(PLAIN.patient, PLAIN.technique, (lesion,)), np.random.default_rng(i)))
            assert bool(hedge.search(text)) == wanted or "pneumothora" not in text.lower()


def test_sections_may_be_empty_but_never_both() -> None:
    empty_findings = np.mean([not r.findings for r in REPORTS])
    empty_impression = np.mean([not r.impression for r in REPORTS])
    assert 0.05 < empty_findings < 0.16
    assert 0.03 < empty_impression < 0.14
    assert all(r.findings or r.impression for r in REPORTS)


def test_reports_vary_and_read_as_sentences() -> None:
    assert len({_text(r) for r in REPORTS}) > 0.9 * len(REPORTS)
    for r in REPORTS:
        for section in (r.findings, r.impression):
            assert section == section.strip()
            assert "  " not in section
            assert not re.search(r"[{}]|\ba [aeio]|\.\.|\s[.,]", section), section
            assert not section or ((section[0].isupper() or section[0].isdigit()) and section.endswith("."))


def test_unequal_effusions_are_told_apart() -> None:
    lesions = (
        Lesion("pleural effusion", ("left",), severity="small"),
        Lesion("pleural effusion", ("right",), severity="large"),
    )
    for i in range(30):
        sections = write_report(Case(PLAIN.patient, PLAIN.technique, lesions), np.random.default_rng(i))
        text = _affirmed(sections).lower()
        if "effusion" in text and "small" in text and "large" in text:
            return
    pytest.fail("never said")


def test_the_report_follows_from_case_and_generator() -> None:
    for i in (0, 1, 2):
        assert write_report(CASES[i], np.random.default_rng(7)) == write_report(CASES[i], np.random.default_rng(7))


def test_measurements_are_those_of_the_drawing() -> None:
    assert diameter_cm(Lesion("lung lesion", ("left",), "upper", "small", extent=0.0)) == pytest.approx(
        1.53, abs=0.01
    )
    assert 5.0 < diameter_cm(Lesion("lung lesion", ("left",), "upper", "large", extent=0.5)) < 6.0
