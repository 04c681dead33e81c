"""Ranking by what the embedding says and by how far a study's findings are those that the query asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medtrim.evaluation.agreement import REPORTED
from medtrim.search.query import FindingQuery, Mode, Wanted
from medtrim.search.store import IndexedStudy, Neighbour
from medtrim.types import NO_FINDING, Contradictions, Finding

WEIGHT = 0.8
"""Share of the match in the score of mode `both`; searched on validation queries (docs/search.md)."""

CONTRADICTED, SILENT = 0.2, 0.6
"""Match of a finding whose disease is reported with a descriptor that excludes one asked for, and with none of
those asked for. With all of them it is 1, with some in between."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and what it is ordered by; no `match` where nothing is asked for or the report is not read."""

    study: IndexedStudy
    similarity: float
    match: float | None
    fulfils: bool
    score: float


def match_finding(query: FindingQuery, findings: Sequence[Finding], *, contradictions: Contradictions) -> float:
    """How far `findings` (of a read report) have what `query` asks for, in [0, 1].

    The best of the study's findings of that disease counts: "small left, large right
    effusion" meets neither "large left" nor "small right" in full. For a denied query it is 1 where no finding
    meets the stated one, else 0.
    """
    reported = [f for f in findings if f.assertion in REPORTED and f.disease != NO_FINDING]
    if query.disease == NO_FINDING:
        return float(bool(reported) == query.denied)
    best = max(
        (_described(query, f, contradictions) for f in reported if query.disease in ("", f.disease)), default=0.0
    )
    if query.denied:
        return float(best <= CONTRADICTED)
    return best


def _described(query: FindingQuery, finding: Finding, contradictions: Contradictions) -> float:
    asked = query.descriptors
    said = {*finding.adjectives, *finding.directions, finding.change or ""}
    if any(contradictions.conflict(axis, asked, said) for axis in contradictions.axes):
        return CONTRADICTED
    if not asked:
        return 1.0
    return SILENT + (1 - SILENT) * sum(word in said for word in asked) / len(asked)


def match_study(
    wanted: Wanted, study: IndexedStudy, *, contradictions: Contradictions
) -> tuple[float | None, bool]:
    """Mean match of all findings asked for, and whether the study has every must-have.

    A study whose report is not read has no match, and fulfils nothing that is demanded.
    """
    if not wanted:
        return None, True
    if not study.read:
        return None, not wanted.must
    musts = [match_finding(q, study.findings, contradictions=contradictions) for q in wanted.must]
    others = [
        match_finding(q, study.findings, contradictions=contradictions) for q in (*wanted.must_not, *wanted.like)
    ]
    everything = musts + others
    return sum(everything) / len(everything), all(m > CONTRADICTED for m in musts)


def excluded(wanted: Wanted, study: IndexedStudy, *, contradictions: Contradictions) -> bool:
    """Whether the study's report has something that it must not have."""
    return study.read and any(
        match_finding(q, study.findings, contradictions=contradictions) == 0.0 for q in wanted.must_not
    )


def rank(
    candidates: Sequence[Neighbour],
    wanted: Wanted,
    *,
    mode: Mode,
    contradictions: Contradictions,
    weight: float = WEIGHT,
) -> list[Ranked]:
    """The candidates that `wanted` does not exclude, best first; equal scores by study id.

    With similarity s, match m and `weight` w, mode `both` scores (1 - w) s + w m, `embedding` s, and `findings`
    orders by m, then s. For a study whose report is not read, the mean match of the read candidates stands in.
    """
    kept = [c for c in candidates if not excluded(wanted, c.study, contradictions=contradictions)]
    matches = [match_study(wanted, c.study, contradictions=contradictions) for c in kept]
    known = [m for m, _ in matches if m is not None]
    expected = sum(known) / len(known) if known else 0.0
    rows = []
    for candidate, (match, fulfils) in zip(kept, matches, strict=True):
        assumed = expected if match is None else match
        score = candidate.similarity
        if wanted and mode != "embedding":
            score = assumed if mode == "findings" else (1 - weight) * candidate.similarity + weight * assumed
        rows.append(Ranked(candidate.study, candidate.similarity, match, fulfils, score))
    return sorted(rows, key=lambda r: (-r.score, -r.similarity, r.study.study_id))
