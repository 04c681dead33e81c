"""Sections of whole reports, MIMIC-CXR style."""

from __future__ import annotations

import pytest

from medtrim.entities import split_sections

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough  // rule out pneumonia

 COMPARISON:  ___

 FINDINGS:

 Heart size is normal.  Small left
 pleural effusion.

 IMPRESSION:

 Small left effusion.
"""


def test_findings_and_impression_are_found_and_the_rest_is_left_out() -> None:
    sections = split_sections(MIMIC)
    assert sections.findings == "Heart size is normal.  Small left\n pleural effusion."
    assert sections.impression == "Small left effusion."


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("", "", ""),
        ("No effusion.", "No effusion.", ""),
        ("IMPRESSION: No effusion.", "", "No effusion."),
        ("FINDINGS: a\nFINDINGS: b\nCONCLUSION: c", "a\nb", "c"),
        ("findings: small effusion\nimpression: same", "small effusion", "same"),
        ("FINDINGS\nSmall effusion.\nIMPRESSION\nSame.", "Small effusion.", "Same."),
        (
            "FINDINGS: Lungs: clear. Heart: large. IMPRESSION: Cardiomegaly.",
            "Lungs: clear. Heart: large.",
            "Cardiomegaly.",
        ),
        ("INDICATION: rule out pneumonia.\n\nNo pneumonia.", "No pneumonia.", ""),
        ("INDICATION: rule out pneumonia.", "", ""),
        ("FINDINGS: a\nINDICATION: b\nIMPRESSION: c", "a", "c"),
        ("FINDINGS AND IMPRESSION: Small effusion.", "Small effusion.", ""),
        ("FINAL REPORT\nCHEST\n\nHISTORY: fever\n\nFINDINGS: a", "a", ""),
        (
            "The findings are unchanged. No impression of disease.",
            "The findings are unchanged. No impression of disease.",
            "",
        ),
    ],
)
def test_sections(text: str, findings: str, impression: str) -> None:
    found = split_sections(text)
    assert (found.findings, found.impression) == (findings, impression)


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("HISTORY: Cough.\nCOMMENT: Small effusion.", "Small effusion.", ""),
        ("History: cough\nChest: Small effusion.", "Small effusion.", ""),
        ("INDICATION: pneumonia\nRESULTS: No effusion.", "No effusion.", ""),
        ("HISTORY: cough\nIMP: No effusion.", "", "No effusion."),
        ("CLINICAL DETAILS: ?pneumonia\n\nClear lungs.", "Clear lungs.", ""),
        ("FINDINGS: a\nIMPRESSION: b\nADDENDUM: c", "a", "b\nc"),
        ("**FINDINGS:** a\n\n## Impression\nb", "a", "b"),
        ("FINDINGS: a\nLUNGS: clear.", "a\nLUNGS: clear.", ""),
    ],
)
def test_unknown_headings_end_only_what_is_left_out(text: str, findings: str, impression: str) -> None:
    sections = split_sections(text)
    assert (sections.findings, sections.impression) == (findings, impression)


def test_the_characters_of_no_section_are_counted() -> None:
    assert split_sections("HISTORY: cough\nFINDINGS: clear").unread == len("cough")
    assert split_sections("FINDINGS: clear").unread == 0
    assert split_sections("Lead text.\nIMPRESSION: clear").unread == len("Lead text.")
