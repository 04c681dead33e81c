"""Showing what OBER read: the report in marked pieces, and as one self-contained HTML page."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from medtrim.entities.ontology import Ontology
from medtrim.types import Assertion, Finding, OntologyRef, Role, Sections

_ORDER: tuple[Role, ...] = ("disease", "direction", "adjective", "change", "cue")


@dataclass(frozen=True, slots=True)
class Mark:
    """That a piece of text is a mention of finding number `finding` (from 1) in the role it plays there."""

    finding: int
    role: Role
    assertion: Assertion


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text under the same marks; `opens` are the findings whose disease mention ends here."""

    text: str
    marks: tuple[Mark, ...] = ()
    opens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkedSection:
    """A section of the report as pieces that join to its text."""

    name: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A report as OBER read it."""

    sections: tuple[MarkedSection, ...]
    findings: tuple[Finding, ...]
    ontology: OntologyRef


def explain(sections: Sections, findings: Sequence[Finding], ontology: Ontology) -> Explanation:
    """Mark every mention of `findings` in the two sections; findings are numbered from 1 in their order."""
    marked = tuple(
        MarkedSection(name, _pieces(name, text, findings))
        for name, text in (("findings", sections.findings), ("impression", sections.impression))
        if text
    )
    return Explanation(marked, tuple(findings), ontology.ref)


def _pieces(section: str, text: str, findings: Sequence[Finding]) -> tuple[Piece, ...]:
    mentions = [
        (m.start, m.end, number, Mark(number, m.role, finding.assertion))
        for number, finding in enumerate(findings, start=1)
        for m in finding.mentions
        if m.section == section
    ]
    mentions.sort(key=lambda m: m[:3])
    cuts = sorted({0, len(text), *(m[0] for m in mentions), *(m[1] for m in mentions)})
    pieces: list[Piece] = []
    active: list[tuple[int, int, int, Mark]] = []
    upcoming = deque(mentions)
    for start, end in itertools.pairwise(cuts):
        active = [mention for mention in active if mention[1] > start]
        while upcoming and upcoming[0][0] <= start:
            active.append(upcoming.popleft())
        if not active:
            pieces.append(Piece(text[start:end]))
            continue
        if len(active) == 1:  # nearly all: words that belong to one finding
            _, ends, _, mark = active[0]
            ended = (mark.finding,) if ends == end and mark.role == "disease" else ()
            pieces.append(Piece(text[start:end], (mark,), ended))
            continue
        marks = tuple(mark for *_, mark in sorted(active, key=lambda m: (m[2], m[0])))
        opens = tuple(mark.finding for _, ends, _, mark in active if ends == end and mark.role == "disease")
        pieces.append(Piece(text[start:end], marks, tuple(dict.fromkeys(opens))))
    return tuple(pieces)


def main_mark(piece: Piece) -> Mark | None:
    """The mark that colours a piece: disease before descriptor before cue, then the first finding."""
    if len(piece.marks) < 2:
        return piece.marks[0] if piece.marks else None
    return min(piece.marks, key=lambda m: (_ORDER.index(m.role), m.finding))


def to_html(explanations: Sequence[tuple[str, Explanation]]) -> str:
    """One self-contained page of (title, explanation) pairs; pointing at a mention lights its whole finding."""
    source = (resources.files("medtrim.entities") / "explain.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(explanations=explanations, marked=_marked)


def _marked(section: MarkedSection) -> Markup:
    """A section as HTML: what is marked in spans that name their findings."""
    parts: list[str] = []
    for piece in section.pieces:
        mark = main_mark(piece)
        said = escape(piece.text)
        if mark is None:
            parts.append(said)
            continue
        numbers = " ".join(dict.fromkeys(str(m.finding) for m in piece.marks))
        opens = "".join(f"<sup>{number}</sup>" for number in piece.opens)
        parts.append(f'<span class="m {mark.role} {mark.assertion}" data-f="{numbers}">{said}</span>{opens}')
    return Markup("".join(parts))
