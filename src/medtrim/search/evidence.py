"""A report cut into parts, each with the findings that were read from it: what a page highlights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from medtrim.types import Finding


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a report section and the findings that it is evidence of, as positions in the study's list."""

    text: str
    findings: tuple[int, ...] = ()


def cut_report(text: str, section: str, findings: Sequence[Finding]) -> tuple[Part, ...]:
    """`text` cut wherever a mention of `section` begins or ends; the parts joined are the text.

    Mentions may overlap: two findings can share a descriptor. Offsets beyond the text are ignored, since an
    annotation may have been made of another version of the report.

    >>> evidence = Mention("findings", 6, 14, "effusion", "disease")
    >>> finding = Finding("pleural effusion", "present", mentions=(evidence,))
    >>> [(p.text, p.findings) for p in cut_report("Small effusion.", "findings", [finding])]
    [('Small ', ()), ('effusion', (0,)), ('.', ())]
    """
    spans = [
        (mention.start, mention.end, number)
        for number, finding in enumerate(findings)
        for mention in finding.mentions
        if mention.section == section and 0 <= mention.start < mention.end <= len(text)
    ]
    begin: dict[int, list[int]] = defaultdict(list)
    end: dict[int, list[int]] = defaultdict(list)
    for start, stop, number in spans:
        begin[start].append(number)
        end[stop].append(number)
    under: list[int] = []
    parts = []
    for left, right in pairwise(sorted({0, len(text), *begin, *end})):
        under += begin.get(left, ())
        for number in end.get(left, ()):
            under.remove(number)
        parts.append(Part(text[left:right], tuple(sorted({*under})) if under else ()))
    return tuple(parts)
