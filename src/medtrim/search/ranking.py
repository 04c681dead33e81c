"""Ranking by what the embedding says and by how far a study's findings are those that the query asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medtrim.evaluation.agreement import REPORTED
from medtrim.search.query import FindingQuery, Mode, Wanted
from medtrim.search.resident import Candidate
from medtrim.search.store import Neighbour
from medtrim.types import NO_FINDING, Contradictions, Finding

WEIGHT = 0.8
"""Share of the match in the score of mode `both`; searched on validation queries (docs/search.md)."""

CONTRADICTED, SILENT = 0.2, 0.6
"""Match of a finding whose disease is reported with a descriptor that excludes one asked for, and with none of
those asked for. With all of them it is 1, with some in between."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and what it is ordered by; no `match` where nothing is asked for or the report is not read."""

    study: Candidate
    similarity: float
    match: float | None
    fulfils: bool
    score: float


class Matcher:
    """How far studies have what is asked for. Findings that many studies share are compared once."""

    def __init__(self, contradictions: Contradictions) -> None:
        self.contradictions = contradictions
        # By identity, which is fast; the objects are kept so that no other takes their place.
        self._known: dict[tuple[int, int], tuple[FindingQuery, Finding, float]] = {}

    def finding(self, query: FindingQuery, findings: Sequence[Finding]) -> float:
        """How far `findings` (of a read report) have what `query` asks for, in [0, 1].

        The best of the study's findings of that disease counts: "small left, large right
        effusion" meets neither "large left" nor "small right" in full. A finding that says less than another of its
        disease does not: an impression "left effusion" takes nothing back of "moderate left effusion". For a denied
        query it is 1 where no finding meets the stated one, else 0.
        """
        reported = [f for f in findings if f.assertion in REPORTED and f.disease != NO_FINDING]
        if query.disease == NO_FINDING:
            return float(bool(reported) == query.denied)
        meant = [f for f in reported if query.disease in ("", f.disease)]
        if query.denied:
            return float(max((self._described(query, f) for f in meant), default=0.0) <= CONTRADICTED)
        return max((self._described(query, f) for f in meant if not _says_less(f, meant)), default=0.0)

    def study(self, wanted: Wanted, study: Candidate) -> tuple[float | None, bool]:
        """Mean match of all findings asked for, and whether the study has every must-have.

        A study whose report is not read has no match, and fulfils nothing that is demanded.
        """
        if not wanted:
            return None, True
        if not study.read:
            return None, not wanted.must
        musts = [self.finding(q, study.findings) for q in wanted.must]
        everything = musts + [self.finding(q, study.findings) for q in (*wanted.must_not, *wanted.like)]
        return sum(everything) / len(everything), all(m > CONTRADICTED for m in musts)

    def excludes(self, wanted: Wanted, study: Candidate) -> bool:
        """Whether the study's report has something that it must not have."""
        return study.read and any(self.finding(q, study.findings) == 0.0 for q in wanted.must_not)

    def _described(self, query: FindingQuery, finding: Finding) -> float:
        known = self._known.get((id(query), id(finding)))
        if known is None:
            known = query, finding, describes(query, finding, self.contradictions)
            self._known[id(query), id(finding)] = known
        return known[2]


def describes(query: FindingQuery, finding: Finding, contradictions: Contradictions) -> float:
    """How far a reported finding of the disease asked for has the descriptors asked for."""
    asked, said = query.descriptors, _said(finding)
    if any(contradictions.conflict(axis, asked, said) for axis in contradictions.axes):
        return CONTRADICTED
    if not asked:
        return 1.0
    return SILENT + (1 - SILENT) * sum(word in said for word in asked) / len(asked)


def _said(finding: Finding) -> set[str]:
    return {*finding.adjectives, *finding.directions, *([finding.change] if finding.change else ())}


def _says_less(finding: Finding, findings: Sequence[Finding]) -> bool:
    return any(f.disease == finding.disease and _said(finding) < _said(f) for f in findings)


def match_lacking(wanted: Wanted) -> float:
    """The best match of a study that lacks one of the findings asked for."""
    return 1 - (1 - CONTRADICTED) / max(1, len(wanted.all))


def score_lacking(wanted: Wanted, mode: Mode, *, weight: float = WEIGHT) -> float:
    """The best score of a study that lacks one of the findings asked for, at similarity 1.

    Where enough studies that have all of them score higher, the others need not be looked at.
    """
    match = match_lacking(wanted)
    return match if mode == "findings" else (1 - weight) + weight * match


def rank(
    candidates: Sequence[Neighbour],
    wanted: Wanted,
    *,
    mode: Mode,
    matcher: Matcher,
    weight: float = WEIGHT,
    seen: Callable[[Candidate], float | None] | None = None,
) -> list[Ranked]:
    """The candidates that `wanted` does not exclude, best first; equal scores by study id.

    With similarity s, match m and `weight` w, mode `both` scores (1 - w) s + w m, `embedding` s, and `findings`
    orders by m, then s. For a study whose report is not read, the mean match of the read candidates stands in, but
    no more than what a study can have that lacks a finding: those that are known to have all come first. Where
    `seen` says how likely its picture shows what is asked for, that stands in.
    """
    kept = [c for c in candidates if not matcher.excludes(wanted, c.study)]
    matches = [matcher.study(wanted, c.study) for c in kept]
    known = [m for m, _ in matches if m is not None]
    expected = min(sum(known) / len(known), match_lacking(wanted)) if known else 0.0
    rows = []
    for candidate, (match, fulfils) in zip(kept, matches, strict=True):
        assumed = match
        if assumed is None:
            likely = seen(candidate.study) if seen is not None else None
            assumed = expected if likely is None else likely
        score = candidate.similarity
        if wanted and mode != "embedding":
            score = assumed if mode == "findings" else (1 - weight) * candidate.similarity + weight * assumed
        rows.append(Ranked(candidate.study, candidate.similarity, match, fulfils, score))
    return sorted(rows, key=lambda r: (-r.score, -r.similarity, r.study.study_id))
