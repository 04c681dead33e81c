"""Sections of a report: the findings and the impression, found by their headings as in MIMIC-CXR."""

from __future__ import annotations

import re

from medtrim.types import Sections

_FINDINGS = (
    "findings",
    "finding",
    "description",
    "observations",
    "report",
    "radiographic findings",
    "chest findings",
)
_IMPRESSION = ("impression", "impressions", "conclusion", "conclusions", "opinion", "summary", "assessment",
               "diagnosis", "interpretation")  # fmt: skip
_OTHER = ("indication", "indications", "history", "clinical history", "clinical information", "clinical indication",
          "comparison", "comparisons", "technique", "examination", "exam", "procedure", "reason for exam",
          "reason for examination", "reason for this examination", "type of examination", "views", "recommendation",
          "recommendations", "recommendation(s)", "notification", "notifications", "wet read", "final report",
          "provisional findings impression", "medical condition", "study", "patient history", "addendum", "dose",
          "contrast", "signed by", "dictated by", "attending", "signs/symptoms", "sign and symptom")  # fmt: skip
_NAMES = dict.fromkeys(_FINDINGS, "findings") | dict.fromkeys(_IMPRESSION, "impression")
_ALL = sorted((*_NAMES, *_OTHER), key=len, reverse=True)
# At the start of a line, or glued behind a sentence, in capitals or with a colon.
_HEADING = re.compile(
    r"(?m)(?:^[ \t]*|(?<=[.!?]\s)[ \t]*)("
    + "|".join(re.escape(name).replace(r"\ ", r"[ \t]+") for name in _ALL)
    + r")[ \t]*(?:(?:AND|/|&)[ \t]*(?:impressions?|conclusions?)[ \t]*)?(?::|\r?$)",
    re.IGNORECASE,
)


def split_sections(text: str) -> Sections:
    """The findings and the impression of a whole report.

    Sections begin with a heading at the start of a line ("FINDINGS:", or the word alone on its line). A section
    that occurs twice is joined by a line break. A report without either heading is read whole as its findings,
    less what stands under other headings (history, indication, technique, comparison): MIMIC-CXR's short reports
    are so. Headings of an unknown kind do not end a section ("LUNGS: clear.").
    """
    found: dict[str, list[str]] = {"findings": [], "impression": []}
    unnamed: list[str] = []
    kind: str | None = None
    start = 0
    for match in _HEADING.finditer(text):
        _keep(text[start : match.start()], kind, found, unnamed, first=start == 0)
        kind = _NAMES.get(re.sub(r"\s+", " ", match.group(1)).lower(), "other")
        start = match.end()
    _keep(text[start:], kind, found, unnamed, first=start == 0)
    if not found["findings"] and not found["impression"]:
        return Sections(findings="\n".join(unnamed).strip())
    return Sections(findings="\n".join(found["findings"]), impression="\n".join(found["impression"]))


def _keep(text: str, kind: str | None, found: dict[str, list[str]], unnamed: list[str], *, first: bool) -> None:
    text = text.strip()
    if not text:
        return
    if kind in found:
        found[kind].append(text)
    elif kind is None:
        unnamed.append(text)
    elif not first:
        # MIMIC-CXR: the reading often follows the last other heading as a paragraph of its own.
        _, gap, rest = text.partition("\n\n")
        if not gap:
            _, gap, rest = text.partition("\n \n")
        if rest.strip():
            unnamed.append(rest.strip())
