"""Linting an ontology: terms that cannot be reached, mean two things, or stand twice; names without terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from medtrim.entities.inflect import forms
from medtrim.entities.lexicon import Kind, Lexicon
from medtrim.entities.matcher import find_matches, resolve_overlaps
from medtrim.entities.ontology import Ontology
from medtrim.entities.tokens import tokenize

Problem = Literal["duplicate", "ambiguous", "unreachable", "no terms", "empty term"]


@dataclass(frozen=True, slots=True)
class LintIssue:
    """One problem: its kind, the term or name it is about, and what is wrong."""

    problem: Problem
    term: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A term as the ontology lists it: where, and the kind of thing it names."""

    term: str
    source: str
    group: str
    noun: bool


def lint_ontology(ontology: Ontology) -> tuple[LintIssue, ...]:
    """The problems of an ontology, in its order; none for a clean one.

    * duplicate: one entry lists a term twice, or lists a plural that its rule makes anyway
    * ambiguous: two findings, two anatomies, or two adjectives or directions share a term
    * unreachable: the term read on its own is not found, or not as what it names
    * no terms: a concept or descriptor that no term leads to
    """
    entries = list(_entries(ontology))
    issues = [
        *_duplicates(entries),
        *_ambiguous(entries),
        *_unreachable(entries, Lexicon(ontology)),
        *_without_terms(ontology),
    ]
    return tuple(issues)


def _entries(ontology: Ontology) -> Iterator[_Entry]:
    data = ontology.data
    for concept in ontology.concepts.values():
        for term in concept.terms:
            yield _Entry(term, f"finding {concept.name!r}", "finding", noun=concept.inflect)
    for name, row in data["anatomy"].items():
        for term in row["terms"]:
            yield _Entry(term, f"anatomy {name!r}", "anatomy", noun=True)
    for descriptor in ontology.descriptors.values():
        for term in descriptor.terms:
            zone = descriptor.kind == "zone"
            yield _Entry(term, f"{descriptor.role} {descriptor.name!r}", descriptor.role, noun=zone)
    for name, row in data["compounds"].items():
        for term in row["terms"]:
            yield _Entry(term, f"compound {name!r}", "compound", noun=False)
    for name, terms in data["cues"].items():
        for term in terms:
            yield _Entry(term, f"cue {name!r}", f"cue {name}", noun=False)


def _duplicates(entries: Iterable[_Entry]) -> Iterator[LintIssue]:
    made: dict[tuple[str, str], str] = {}
    for entry in entries:
        shapes = forms(entry.term.lower(), noun=entry.noun)
        first = made.get((entry.source, shapes[0]))
        if first is not None:
            why = "stands twice" if first == entry.term else f"is made from {first!r} by rule"
            yield LintIssue("duplicate", entry.term, f"{entry.source}: {why}")
        for shape in shapes:
            made.setdefault((entry.source, shape), entry.term)


def _ambiguous(entries: Iterable[_Entry]) -> Iterator[LintIssue]:
    owners: dict[tuple[str, str], str] = {}
    for entry in entries:
        if entry.group.startswith("cue"):
            continue  # a cue may be several: "consistent with" links and breaks
        for shape in forms(entry.term.lower(), noun=entry.noun):
            owner = owners.setdefault((entry.group, shape), entry.source)
            if owner != entry.source:
                yield LintIssue("ambiguous", shape, f"names both {owner} and {entry.source}")


_KIND = {"finding": Kind.FINDING, "anatomy": Kind.ANATOMY, "adjective": Kind.ADJECTIVE, "direction": Kind.DIRECTION}


def _unreachable(entries: Iterable[_Entry], lexicon: Lexicon) -> Iterator[LintIssue]:
    for entry in entries:
        tokens = tokenize(entry.term.rstrip("*"))
        if not tokens.words or not any(tokens.words):
            yield LintIssue("empty term", entry.term, f"{entry.source}: holds no word")
            continue
        items = resolve_overlaps(find_matches(tokens, lexicon))
        kind = _KIND.get(entry.group)
        if entry.group.startswith("cue "):
            kind = Kind[entry.group.removeprefix("cue ").upper()]
        whole = len(items) == 1 and items[0].start == 0 and items[0].end == len(tokens)
        if not whole or (kind is not None and not items[0].kinds & kind):
            yield LintIssue("unreachable", entry.term, f"{entry.source}: another term takes its words")
        elif entry.group == "finding" and items[0].term.concept is not None:
            named = f"finding {items[0].term.concept.name!r}"
            if named != entry.source:
                yield LintIssue("unreachable", entry.term, f"{entry.source}: is read as {named}")


def _without_terms(ontology: Ontology) -> Iterator[LintIssue]:
    composed = {row.finding for row in ontology.compositions}
    parents = {parent for concept in ontology.concepts.values() for parent in concept.parents}
    for concept in ontology.concepts.values():
        if not concept.terms and concept.name not in composed | parents:
            yield LintIssue("no terms", concept.name, "no term or composition names this finding")
    meant = {name for row in ontology.data["compounds"].values() for name in row["means"]}
    for descriptor in ontology.descriptors.values():
        if not descriptor.terms and descriptor.name not in meant:
            yield LintIssue("no terms", descriptor.name, f"no term names this {descriptor.role}")
