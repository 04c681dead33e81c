"""Showing where two annotations disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from medtrim.cli.console import out
from medtrim.entities.compare import Comparison, Disagreement, sentence_of
from medtrim.types import Finding, Study

SHOWN = 40
_CONTEXT = 60


def show_disagreements(found: Comparison, studies: Mapping[str, Study], *, names: tuple[str, str]) -> None:
    """Print the kinds of disagreement with their counts, then the first of them with the text they are about."""
    kinds = Counter((d.disease, ", ".join(d.fields)) for d in found.disagreements)
    out.print(
        f"{found.agreeing:,} findings agree, {len(found.disagreements):,} do not "
        f"({len(found.only_ours):,} studies only in {names[0]}, {len(found.only_theirs):,} only in {names[1]})",
        markup=False,
    )
    summary = Table("finding", "differs in", "count", title="Kinds of disagreement")
    for (disease, fields), count in sorted(kinds.items(), key=lambda row: (-row[1], row[0])):
        summary.add_row(escape(disease), fields, f"{count:,}")
    out.print(summary)
    table = Table("study", "finding", *map(escape, names), "text", title="Disagreements", show_lines=True)
    for disagreement in found.disagreements[:SHOWN]:
        text = _text(disagreement, studies.get(disagreement.study_id))
        table.add_row(
            Text(disagreement.study_id),
            Text(disagreement.disease),
            Text(_said(disagreement.ours)),
            Text(_said(disagreement.theirs)),
            text,
        )
    out.print(table)
    if len(found.disagreements) > SHOWN:
        out.print(f"… and {len(found.disagreements) - SHOWN:,} more")


def _said(finding: Finding | None) -> str:
    return "–" if finding is None else sentence_of(finding)


def _text(disagreement: Disagreement, study: Study | None) -> Text:
    """The text around the mentions of whichever side has them."""
    for finding in (disagreement.ours, disagreement.theirs):
        if finding is None or study is None or not finding.mentions:
            continue
        named = [m for m in finding.mentions if m.role == "disease"] or list(finding.mentions)
        section = study.findings if named[0].section == "findings" else study.impression
        start, end = named[0].start, named[0].end
        left, right = max(0, start - _CONTEXT), min(len(section), end + _CONTEXT)
        text = Text(section[left:start])
        text.append(section[start:end], style="bold")
        text.append(section[end:right])
        return text
    return Text("")
