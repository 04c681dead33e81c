"""One page of where two readings of a corpus disagree: the kinds with their counts, each with its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from medtrim.entities.compare import Comparison, Disagreement, sentence_of
from medtrim.entities.tokens import split_sentences
from medtrim.types import Finding, Study

NOT_SAID = "not said"
# Of a report in which neither side points at a sentence only so much is shown.
EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Example:
    """One disagreement: what either side says, and the sentence around the mention (`named`) where there is one."""

    study_id: str
    ours: str
    theirs: str
    before: str
    named: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class DisagreementKind:
    """Disagreements of one disease that differ in the same way, most frequent kind first on the page."""

    name: str
    count: int
    examples: tuple[Example, ...]


def kinds_of(
    found: Comparison, studies: Mapping[str, Study], *, examples: int = 50
) -> tuple[DisagreementKind, ...]:
    """The kinds of disagreement, most frequent first, each with at most `examples` in the table's order."""
    grouped: dict[str, list[Disagreement]] = {}
    for disagreement in found.disagreements:
        grouped.setdefault(_kind(disagreement), []).append(disagreement)
    ordered = sorted(grouped.items(), key=lambda row: (-len(row[1]), row[0]))
    return tuple(
        DisagreementKind(
            name, len(rows), tuple(_example(row, studies.get(row.study_id)) for row in rows[:examples])
        )
        for name, rows in ordered
    )


def comparison_page(
    found: Comparison, studies: Mapping[str, Study], *, names: tuple[str, str], examples: int = 50
) -> str:
    """The page as self-contained HTML. It quotes reports: keep it where reports may be kept."""
    source = (resources.files("medtrim.entities") / "compare.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    kinds = kinds_of(found, studies, examples=examples)
    return environment.from_string(source).render(comparison=found, kinds=kinds, names=names)


def _kind(disagreement: Disagreement) -> str:
    ours, theirs = disagreement.ours, disagreement.theirs
    if ours is not None and theirs is not None and ours.assertion == theirs.assertion:
        return f"{disagreement.disease}: {' and '.join(disagreement.fields)} differ"
    said = [NOT_SAID if finding is None else finding.assertion for finding in (ours, theirs)]
    return f"{disagreement.disease}: {said[0]} here, {said[1]} there"


def _example(disagreement: Disagreement, study: Study | None) -> Example:
    ours, theirs = (NOT_SAID if f is None else sentence_of(f) for f in (disagreement.ours, disagreement.theirs))
    for finding in (disagreement.ours, disagreement.theirs):
        quoted = _sentence(finding, study)
        if quoted is not None:
            return Example(disagreement.study_id, ours, theirs, *quoted)
    report = "" if study is None else study.report
    excerpt = report[:EXCERPT] + (" …" if len(report) > EXCERPT else "")
    return Example(disagreement.study_id, ours, theirs, excerpt)


def _sentence(finding: Finding | None, study: Study | None) -> tuple[str, str, str] | None:
    """The sentence that names `finding`: before the mention, the mention, behind it."""
    if finding is None or study is None or not finding.mentions:
        return None
    named = next((m for m in finding.mentions if m.role == "disease"), finding.mentions[0])
    text = study.findings if named.section == "findings" else study.impression
    for span in split_sentences(text):
        if span.start <= named.start < span.end:
            last = max(span.end, named.end)
            return text[span.start : named.start], text[named.start : named.end], text[named.end : last]
    return None
