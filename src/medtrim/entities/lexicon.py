"""The ontology compiled for reading: a trie over words, each end telling what the phrase can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

from medtrim.entities.inflect import forms
from medtrim.entities.ontology import Concept, Ontology
from medtrim.entities.tokens import tokenize
from medtrim.entities.typos import TypoIndex


class Kind(IntFlag):
    """What a matched phrase can be. A phrase may be several: "prominent" is an adjective and a change."""

    FINDING = 1
    ANATOMY = 2
    CHANGE = 4
    ADJECTIVE = 8
    DIRECTION = 16
    NEGATION = 32
    NEGATION_AFTER = 64
    RESOLVED = 128
    RESOLVED_AFTER = 256
    PSEUDO_NEGATION = 512
    HEDGE = 1024
    HEDGE_AFTER = 2048
    HISTORY = 4096
    HYPOTHETICAL = 8192
    BREAK = 1 << 14
    EXISTENTIAL = 1 << 15
    VERB = 1 << 16
    PREPOSITION = 1 << 17
    WITH = 1 << 18
    LINK = 1 << 19
    AND = 1 << 20
    OR = 1 << 21
    THE = 1 << 22
    PRONOUN = 1 << 23
    NORMAL = 1 << 24
    COMMA = 1 << 25
    COLON = 1 << 26
    IGNORE = 1 << 27
    OPEN = 1 << 28
    INTERPRETATION = 1 << 29
    PARTITIVE = 1 << 30
    TREND = 1 << 31
    NOT = 1 << 32
    UNABLE = 1 << 33
    PERCEIVED = 1 << 34
    EXCLUDE = 1 << 35
    MEASURE = 1 << 36
    PARTIAL = 1 << 37
    NON = 1 << 38
    BOUNDING = 1 << 39
    ABNORMALITY = 1 << 40
    ELSEWHERE = 1 << 41
    COMPARED = 1 << 42
    STATING = 1 << 43


DESCRIPTOR = int(Kind.ADJECTIVE | Kind.DIRECTION)
_IMPLIED_KINDS = ("texture", "shape", "extent", "chronicity", "zone")
_PUNCTUATION = {
    ",": Kind.COMMA,
    ";": Kind.BREAK,
    ":": Kind.COLON,
    "=": Kind.COLON,
    "/": Kind.OR,
    "(": Kind.OPEN,
    ")": Kind.OPEN,
    "-": Kind.COMMA,
    "–": Kind.COMMA,
    "—": Kind.COMMA,
}


@dataclass(slots=True)
class Term:
    """What a phrase can be: `kinds` as bits, and the ontology entries behind each bit.

    `implied` are descriptors that a finding's own term says: "interstitial edema" is interstitial. `compared` is
    the change since the prior study that the phrase states.
    """

    kinds: int = 0
    concept: Concept | None = None
    anatomy: str = ""
    absorbs: bool = False
    changes: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    compared: str = ""
    sources: list[str] = field(default_factory=list)


class Lexicon:
    """A trie of word keys, and the map from a report's word to its keys (inflection, stems, typos)."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self.trie: dict[str, object] = {}
        self.terms: dict[tuple[str, ...], Term] = {}
        self._stems: dict[str, str] = {}
        self._words: set[str] = set()
        self._add_all()
        self._imply()
        self._typos = TypoIndex(
            word
            for concept in ontology.concepts.values()
            for term in concept.terms
            for form in forms(term, noun=True)
            for word in form.rstrip("*").split()
        )
        self._spelled = frozenset(ontology.data["spelled"])
        self._keys: dict[str, tuple[str, ...]] = {}

    def keys(self, word: str) -> tuple[str, ...]:
        """The trie keys of a lower-cased word: itself, stems it begins with, or the word it misspells."""
        found = self._keys.get(word)
        if found is None:
            found = self._find_keys(word)
            if len(self._keys) > 100_000:  # a corpus of noise must not fill the memory
                self._keys.clear()
            self._keys[word] = found
        return found

    def _find_keys(self, word: str) -> tuple[str, ...]:
        keys = [word] if word in self._words else []
        for length in range(3, min(len(word), 24) + 1):
            stem = self._stems.get(word[:length])
            if stem is not None:
                keys.append(stem)
        if not keys and word not in self._spelled:
            correct = self._typos.correct(word)
            if correct is not None and correct != word:
                return self._find_keys(correct)
        return tuple(keys)

    def _add_all(self) -> None:
        data = self.ontology.data
        for concept in self.ontology.concepts.values():
            for term in concept.terms:
                self._add(term, Kind.FINDING, f"finding {concept.name}", noun=concept.inflect, concept=concept)
        for name, row in data["anatomy"].items():
            for term in row["terms"]:
                self._add(
                    term, Kind.ANATOMY, f"anatomy {name}", noun=True, anatomy=name, absorbs=bool(row.get("absorbs"))
                )
        for name, row in data["changes"].items():
            for term in row["terms"]:
                self._add(term, Kind.CHANGE, f"change {name}", changes=(name,))
        for descriptor in self.ontology.descriptors.values():
            for term in descriptor.terms:
                source = f"{descriptor.role} {descriptor.name}"
                if descriptor.role == "adjective":
                    self._add(term, Kind.ADJECTIVE, source, adjectives=(descriptor.name,))
                else:
                    noun = descriptor.kind == "zone"
                    self._add(term, Kind.DIRECTION, source, noun=noun, directions=(descriptor.name,))
        for name, row in data["compounds"].items():
            self._add_compound(name, row)
        for cue, terms in data["cues"].items():
            for term in terms:
                self._add(term, Kind[cue.upper()], f"cue {cue}")
        for name, row in data["comparisons"].items():
            for term in row["terms"]:
                self._add(term, Kind.COMPARED, f"comparison {name}", compared=name)
        for term in data["elsewhere"]:
            self._add(term, Kind.ELSEWHERE, "elsewhere", noun=True)
        for term in data["ignore"]:
            self._add(term, Kind.IGNORE, "ignore", noun=True)
        for mark, kind in _PUNCTUATION.items():
            self._add_form((mark,), kind, "punctuation")

    def _imply(self) -> None:
        """Descriptors inside the findings' own terms, where they say how it looks and not what it is."""
        for words, entry in self.terms.items():
            if entry.concept is None or len(words) == 1:
                continue
            found = dict.fromkeys(entry.implied)
            for word in words:
                part = self.terms.get((word,))
                if part is None or part.concept is not None:
                    continue
                for name in (*part.adjectives, *part.directions):
                    descriptor = self.ontology.descriptors[name]
                    if descriptor.kind in _IMPLIED_KINDS:
                        found[name] = None
            entry.implied = tuple(found)

    def _add_compound(self, name: str, row: Mapping[str, Any]) -> None:
        adjectives = tuple(d for d in row["means"] if self.ontology.descriptors[d].role == "adjective")
        directions = tuple(d for d in row["means"] if d not in adjectives)
        kind = (Kind.ADJECTIVE if adjectives else Kind(0)) | (Kind.DIRECTION if directions else Kind(0))
        for term in row["terms"]:
            self._add(term, kind, f"compound {name}", override=True, adjectives=adjectives, directions=directions)

    def _add(
        self,
        term: str,
        kind: Kind,
        source: str,
        *,
        noun: bool = False,
        override: bool = False,
        concept: Concept | None = None,
        anatomy: str = "",
        absorbs: bool = False,
        changes: tuple[str, ...] = (),
        adjectives: tuple[str, ...] = (),
        directions: tuple[str, ...] = (),
        compared: str = "",
    ) -> None:
        for number, form in enumerate(forms(term.lower(), noun=noun)):
            stem = form.endswith("*")
            words = tuple(tokenize(form.rstrip("*")).words)
            if not words:
                continue
            if stem:
                self._stems[words[-1]] = words[-1] + "*"
                words = (*words[:-1], words[-1] + "*")
            entry = self._add_form(words, kind, source)
            if concept is not None and entry.concept is None:
                entry.concept = concept
                entry.implied = (concept.plural,) if number and concept.plural else ()
            entry.anatomy = entry.anatomy or anatomy
            entry.compared = entry.compared or compared
            entry.absorbs = entry.absorbs or absorbs
            entry.changes += tuple(c for c in changes if c not in entry.changes)
            entry.adjectives += tuple(a for a in adjectives if a not in entry.adjectives)
            entry.directions = directions if override or not entry.directions else entry.directions

    def _add_form(self, words: tuple[str, ...], kind: Kind, source: str) -> Term:
        entry = self.terms.setdefault(words, Term())
        entry.kinds |= int(kind)
        entry.sources.append(source)
        self._words.update(word for word in words if not word.endswith("*"))
        node: dict[str, object] = self.trie
        for word in words:
            node = node.setdefault(word, {})  # type: ignore[assignment]
        node[""] = entry
        return entry
