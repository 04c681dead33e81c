"""Sections of a report: the findings and the impression, found by their headings as in MIMIC-CXR."""

from __future__ import annotations

import re

from medtrim.types import Sections

_FINDINGS = ("findings", "finding", "description", "observations", "report", "radiographic findings",
             "chest findings", "result", "results", "comment", "comments", "narrative")  # fmt: skip
# An addendum corrects the reading: it belongs to the impression.
_IMPRESSION = ("impression", "impressions", "conclusion", "conclusions", "opinion", "summary", "assessment", "imp",
               "diagnosis", "interpretation", "addendum", "addenda")  # fmt: skip
_OTHER = ("indication", "indications", "history", "comparison", "comparisons", "technique", "examination",
          "exam", "procedure", "reason for exam", "reason for examination", "reason for this examination",
          "reason for study", "reason", "type of examination", "views", "recommendation", "recommendations",
          "recommendation(s)", "notification", "notifications", "wet read", "final report",
          "provisional findings impression", "medical condition", "study", "patient history",
          "past medical history", "dose", "contrast", "signed by", "dictated by", "attending",
          "signs/symptoms", "sign and symptom", "symptoms", "chief complaint", "date", "referring physician",
          "accession", "accession number", "patient", "mrn", "age", "sex", "priors",
          "electronically signed by", "transcribed by", "medications", "allergies")  # fmt: skip
_NAMES = dict.fromkeys(_FINDINGS, "findings") | dict.fromkeys(_IMPRESSION, "impression")
_ALL = sorted((*_NAMES, *_OTHER), key=len, reverse=True)
# At the start of a line, or glued behind a sentence, in capitals or with a colon; Markdown's marks may surround it.
_HEADING = re.compile(
    r"(?m)(?:^[ \t*#_>]*|(?<=[.!?]\s)[ \t]*)(?:("
    + "|".join(re.escape(name).replace(r"\ ", r"[ \t]+") for name in _ALL)
    + r"|clinical[ \t]+[a-z]+(?:[ \t]+[a-z]+)?)[ \t]*(?:(?:AND|/|&)[ \t]*(?:impressions?|conclusions?)[ \t]*)?"
    + r"(?::|\r?$)|(?P<unknown>[a-z][a-z /&'()-]{1,40}):)\**",
    re.IGNORECASE,
)


def split_sections(text: str) -> Sections:
    """The findings and the impression of a whole report.

    Sections begin with a heading at the start of a line ("FINDINGS:", or the word alone on its line). A section
    that occurs twice is joined by a line break. A report without either heading is read whole as its findings,
    less what stands under other headings (history, indication, technique, comparison): MIMIC-CXR's short reports
    are so. A heading of an unknown kind ends what is left out ("HISTORY: … CHEST: …") and nothing else
    ("LUNGS: clear."). `unread` counts the characters that no section took.
    """
    pieces: dict[str, list[str]] = {"findings": [], "impression": [], "unnamed": []}
    unread = 0
    kind = "unnamed"
    start = 0
    for match in _HEADING.finditer(text):
        name = re.sub(r"\s+", " ", match.group(1) or "").lower()
        at_line_start = match.start() == 0 or text[match.start() - 1] == "\n"
        if not name and (kind != "other" or not at_line_start):
            continue
        unread += _keep(text[start : match.start()], kind, pieces)
        kind = _NAMES.get(name, "other") if name else "unnamed"
        start = match.end()
    unread += _keep(text[start:], kind, pieces)
    if not pieces["findings"] and not pieces["impression"]:
        return Sections(findings="\n".join(pieces["unnamed"]).strip(), unread=unread)
    findings, impression = pieces["findings"], pieces["impression"]
    unread += sum(map(len, pieces["unnamed"]))
    return Sections(findings="\n".join(findings), impression="\n".join(impression), unread=unread)


def _keep(text: str, kind: str, pieces: dict[str, list[str]]) -> int:
    """Put `text` under its kind; returns how many characters are left out."""
    text = text.strip()
    if not text:
        return 0
    if kind in pieces:
        pieces[kind].append(text)
        return 0
    # MIMIC-CXR: the reading often follows the last other heading as a paragraph of its own.
    left_out, gap, rest = text.partition("\n\n")
    if not gap:
        left_out, gap, rest = text.partition("\n \n")
    if rest.strip():
        pieces["unnamed"].append(rest.strip())
    return len(left_out.strip())
