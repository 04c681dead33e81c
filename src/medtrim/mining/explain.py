"""One score term by term, from Python sets: what `medtrim score` shows."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.mining.score_config import ScoreConfig
from medtrim.types import NO_FINDING, Annotation

Descriptors = dict[str, tuple[frozenset[str], frozenset[str]]]


@dataclass(frozen=True, slots=True)
class SharedDisease:
    """A disease both studies have: their descriptor sets and the Jaccard index of each kind."""

    disease: str
    anchor_adjectives: tuple[str, ...]
    reference_adjectives: tuple[str, ...]
    adjective: float
    anchor_directions: tuple[str, ...]
    reference_directions: tuple[str, ...]
    direction: float


@dataclass(frozen=True, slots=True)
class ScoreExplanation:
    """S(anchor, reference) and what it is made of.

    `score = w_dis · disease + w_adj · adjective + w_dir · direction`, where `adjective` and `direction` are the
    sums over `shared` divided by `divisor`.
    """

    anchor: str
    reference: str
    anchor_diseases: tuple[str, ...]
    reference_diseases: tuple[str, ...]
    shared: tuple[SharedDisease, ...]
    divisor: int
    disease: float
    adjective: float
    direction: float
    score: float


def jaccard(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """|X ∩ Y| / |X ∪ Y|, and 1 for two empty sets."""
    return len(ours & theirs) / len(ours | theirs) if ours or theirs else 1.0


def descriptors(annotation: Annotation, config: ScoreConfig) -> Descriptors:
    """The counted diseases of a study, each with the union of its adjectives and of its directions."""
    found: Descriptors = {}
    for finding in annotation.findings:
        if finding.disease in config.diseases and finding.assertion in config.assertions:
            adjectives, directions = found.get(finding.disease, (frozenset(), frozenset()))
            found[finding.disease] = (adjectives | set(finding.adjectives), directions | set(finding.directions))
    return found


def explain_score(anchor: Annotation, reference: Annotation, config: ScoreConfig | None = None) -> ScoreExplanation:
    """S(anchor, reference) of §III of arXiv:2504.15929 as its authors' code computes it, with every part named."""
    config = config or ScoreConfig()
    ours, theirs = descriptors(anchor, config), descriptors(reference, config)
    our_set, their_set = frozenset(ours) or {NO_FINDING}, frozenset(theirs) or {NO_FINDING}
    shared = tuple(
        SharedDisease(
            disease=name,
            anchor_adjectives=tuple(sorted(ours[name][0])),
            reference_adjectives=tuple(sorted(theirs[name][0])),
            adjective=jaccard(ours[name][0], theirs[name][0]),
            anchor_directions=tuple(sorted(ours[name][1])),
            reference_directions=tuple(sorted(theirs[name][1])),
            direction=jaccard(ours[name][1], theirs[name][1]),
        )
        for name in config.diseases
        if name in ours and name in theirs
    )
    divisor = len(our_set) if config.mode == "faithful" else len(our_set | their_set)
    disease = jaccard(frozenset(our_set), frozenset(their_set))
    adjective = sum(s.adjective for s in shared) / divisor
    direction = sum(s.direction for s in shared) / divisor
    weights = config.weights
    return ScoreExplanation(
        anchor=anchor.study_id,
        reference=reference.study_id,
        anchor_diseases=tuple(sorted(our_set)),
        reference_diseases=tuple(sorted(their_set)),
        shared=shared,
        divisor=divisor,
        disease=disease,
        adjective=adjective,
        direction=direction,
        score=weights.disease * disease + weights.adjective * adjective + weights.direction * direction,
    )
