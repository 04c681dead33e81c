"""Reading one sentence: tokens, matches, clauses, heads, verdicts, descriptors, findings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medtrim.entities.assertion import judge
from medtrim.entities.binding import Binder, Bound
from medtrim.entities.clauses import clause_ids
from medtrim.entities.comparison import changes_of
from medtrim.entities.compose import compose
from medtrim.entities.ellipsis import restore_nouns
from medtrim.entities.heads import Head, HeadFinder
from medtrim.entities.lexicon import DESCRIPTOR, Kind, Lexicon
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.ontology import Ontology
from medtrim.entities.reach import ASSERTION_OF, Verdict
from medtrim.entities.sizes import find_measures, sizes_of
from medtrim.entities.tokens import Tokens, tokenize
from medtrim.types import Assertion, Change, Role

_SIDE = "side"
_COMPARED = int(Kind.COMPARED)
# "Opacity, may represent pneumonia" names one thing seen, the opacity. What it may be is kept beside it under its
# own name, so that a score over diseases compares what studies show and not what their readers thought of.
DIFFERENTIAL = "differential: "
_DENIAL_BAR = int(Kind.ANATOMY | Kind.IGNORE | Kind.FINDING | Kind.HEDGE | Kind.ABNORMALITY)
_NEGATION = int(Kind.NEGATION)
_RESOLVED = int(Kind.RESOLVED | Kind.RESOLVED_AFTER)
_DENIED = _RESOLVED | int(Kind.NEGATION_AFTER)
_METRIC = frozenset({"mm", "cm", "millimeter", "millimeters", "centimeter", "centimeters"})
# Words of a sentence that can do no more than deny the finding before it.
_LONGEST_DENIAL = 10
_LONGEST_ANSWER = 6
_ELLIPSIS_BAR = int(Kind.ANATOMY | Kind.IGNORE | Kind.NEGATION | Kind.FINDING | Kind.NORMAL)


@dataclass(frozen=True, slots=True)
class Place:
    """A mention inside a sentence: character offsets relative to the sentence."""

    start: int
    end: int
    role: Role


@dataclass(frozen=True, slots=True)
class SentenceFinding:
    """A finding of one sentence, before the sentence has a place in a section."""

    disease: str
    assertion: Assertion
    adjectives: tuple[str, ...]
    directions: tuple[str, ...]
    places: tuple[Place, ...]
    change: Change | None = None
    size_mm: float | None = None


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """What one sentence says.

    `loose` is what it says of the finding of the sentence before ("It is small.", "It has resolved."). `refers`
    says that the sentence is about that finding ("This represents atelectasis."): what it names is where that is.
    `told` says that it names a finding beyond devices, or states that something is normal: its report was read.
    """

    findings: tuple[SentenceFinding, ...] = ()
    loose: SentenceFinding | None = None
    refers: bool = False
    told: bool = False


_EMPTY = SentenceReading()
_NORMAL = SentenceReading(told=True)


class SentenceReader:
    """Reads sentences by one ontology. Pure: the same sentence always reads the same."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self.lexicon = Lexicon(ontology)
        self._heads = HeadFinder(ontology)
        self._roles = {name: d.role for name, d in ontology.descriptors.items()}
        self._kinds = {name: d.kind for name, d in ontology.descriptors.items()}
        languages = ontology.data["languages"]
        self._english = frozenset(languages.get("english", ()))
        others = {word for name, words in languages.items() if name != "english" for word in words}
        self._foreign = frozenset(others - self._english)

    def read(self, sentence: str) -> SentenceReading:
        """The findings of `sentence`, in order of appearance."""
        tokens = tokenize(sentence)
        if not self._foreign.isdisjoint(tokens.words) and self._is_foreign(tokens.words):
            return _EMPTY
        items = compose(resolve_overlaps(find_matches(tokens, self.lexicon)), tokens)
        if not items:
            return _EMPTY
        items = restore_nouns(items)
        clauses = clause_ids(items)
        heads = self._heads.find(items, clauses)
        if not heads:
            return self._without_heads(tokens, items)
        verdicts = judge(items, clauses, sorted({h.index for h in heads if h.normal is None}), tokens.words)
        judged = [verdicts[h.index] if h.normal is None else Verdict("normal", h.normal) for h in heads]
        absent = [ASSERTION_OF[verdict.reason] == "absent" for verdict in judged]
        bound = Binder(items, tokens, clauses, heads, absent, self._kinds).bind()
        changes = changes_of(items, clauses, heads, judged)
        measures = [] if _METRIC.isdisjoint(tokens.words) else find_measures(tokens)
        sizes = sizes_of(measures, items, clauses, heads) if measures else {}
        findings: list[SentenceFinding] = []
        for number, (head, verdict, descriptors) in enumerate(zip(heads, judged, bound, strict=True)):
            change = changes.get(number)
            for part in self._parts(items, descriptors):
                found = self._finding(tokens, items, head, verdict, part, descriptors.borrowed)
                if number in sizes:
                    found = [replace(f, size_mm=sizes[number]) for f in found]
                if change is not None:
                    place = _place(tokens, items[change.item], "change")
                    found = [replace(f, change=change.name, places=_sorted((*f.places, place))) for f in found]
                findings.extend(found)
        refers = bool(items[0].kinds & int(Kind.PRONOUN)) and items[0].start == 0
        return SentenceReading(
            tuple(findings),
            refers=refers and any(not f.directions for f in findings),
            told=any(head.concept.category != "device" for head in heads) or _calls_normal(items),
        )

    def _is_foreign(self, words: list[str]) -> bool:
        """Whether the sentence has more small words of other languages than of the ontology's own."""
        others = sum(word in self._foreign for word in words)
        return others > sum(word in self._english for word in words)

    def _parts(self, items: list[Item], bound: Bound) -> list[list[int]]:
        """The descriptors of a head, in one part, or in two where its phrases describe two sides apart.

        "small left and large right effusion" is two findings: each phrase has one side and an adjective.
        """
        groups: dict[int, list[int]] = {}
        for i, group in sorted(zip(bound.items, bound.groups, strict=True)):
            groups.setdefault(group, []).append(i)
        if len(groups) < 2:
            return [sorted(bound.items)]
        sides: list[str] = []
        sided: list[list[int]] = []
        shared: list[int] = []
        for members in groups.values():
            own = {d for i in members for d in items[i].term.directions if self._kinds[d] == _SIDE}
            described = any(items[i].term.adjectives for i in members)
            if len(own) == 1 and described:
                sides.extend(own)
                sided.append(members)
            elif own and len(own) == 1:
                return [sorted(bound.items)]
            else:
                shared.extend(members)
        if len(sided) < 2 or len(set(sides)) < 2:
            return [sorted(bound.items)]
        shared = [i for i in shared if not any(self._kinds[d] == _SIDE for d in items[i].term.directions)]
        return [sorted(shared + members) for members in sided]

    def _finding(
        self,
        tokens: Tokens,
        items: list[Item],
        head: Head,
        verdict: Verdict,
        descriptors: list[int],
        borrowed: set[int],
    ) -> list[SentenceFinding]:
        takes = head.concept.takes
        adjectives: set[str] = set()
        directions: set[str] = set()
        places = [_place(tokens, items[i], "disease") for i in head.parts]
        for i in head.parts:
            term = items[i].term
            adjectives.update(d for d in term.implied if self._roles[d] == "adjective")
            directions.update(d for d in term.implied if self._kinds[d] in takes)
            if term.concept is None:  # "borderline heart size": the change says how severe
                adjectives.update(d for d in term.adjectives if self._kinds[d] == "severity")
        for i in descriptors:
            term = items[i].term
            kinds = head.concept.shares if i in borrowed else takes
            fitting = [
                d for d in term.directions if self._kinds[d] in kinds or (kinds and self._kinds[d] == "place")
            ]
            if fitting:
                directions.update(fitting)
                places.append(_place(tokens, items[i], "direction"))
            if term.adjectives:
                adjectives.update(term.adjectives)
                places.append(_place(tokens, items[i], "adjective"))
        if verdict.cue is not None:
            places.append(_place(tokens, items[verdict.cue], "cue"))
        prefix = DIFFERENTIAL if verdict.reason == "interpretation" else ""
        return [
            SentenceFinding(
                prefix + disease,
                ASSERTION_OF[verdict.reason],
                tuple(sorted(adjectives)),
                tuple(sorted(directions)),
                _sorted(tuple(places)),
            )
            for disease in head.concept.reports_as
        ]

    def _without_heads(self, tokens: Tokens, items: list[Item]) -> SentenceReading:
        """A sentence that names no finding may go on about the one before: "It is small." "It has resolved."."""
        denied = self._denies_before(tokens, items)
        if denied is not None:
            return SentenceReading(loose=denied)
        if any(item.kinds & _ELLIPSIS_BAR for item in items):
            return _NORMAL if _calls_normal(items) else _EMPTY
        described = [item for item in items if item.kinds & (DESCRIPTOR | _COMPARED)]
        opens = items[0].start == 0 and items[0].kinds & int(Kind.PRONOUN)
        if items[0].start == 0 and items[0].kinds & DESCRIPTOR:
            opens = not any(item.kinds & int(Kind.VERB) for item in items)
        if not described or not opens or len(tokens) > 15:
            return _EMPTY
        adjectives = sorted({a for item in described for a in item.term.adjectives})
        directions = sorted({d for item in described for d in item.term.directions})
        changes = [item.term.compared for item in described if item.term.compared]
        change: Change | None = changes[0] if changes else None  # type: ignore[assignment]
        places = [_place(tokens, item, _role(item)) for item in described]
        return SentenceReading(
            loose=SentenceFinding("", "present", tuple(adjectives), tuple(directions), tuple(places), change)
        )

    def _denies_before(self, tokens: Tokens, items: list[Item]) -> SentenceFinding | None:
        """The denial of the finding before: "It has resolved.", "None is seen now.", "No."."""
        first, count = items[0], len(tokens)
        if first.start != 0 or count > _LONGEST_DENIAL or any(item.kinds & _DENIAL_BAR for item in items):
            return None
        alone = first.end >= count - 1 or (first.kinds & int(Kind.NEGATION_AFTER) and count <= _LONGEST_ANSWER)
        answer = first.kinds & (_NEGATION | _DENIED) and alone
        past = any(tokens.words[k] in ("was", "were") for k in range(count))
        if not answer and (past or not first.kinds & int(Kind.PRONOUN)):
            return None
        for item in items:
            if item.kinds & _DENIED or (answer and item is first):
                resolved = item.kinds & _RESOLVED or item.term.compared == "resolved"
                change: Change | None = "resolved" if resolved else None
                return SentenceFinding("", "absent", (), (), (_place(tokens, item, "cue"),), change)
        return None


def _calls_normal(items: list[Item]) -> bool:
    """Whether the sentence states normality: "lungs are clear", "no acute cardiopulmonary abnormality"."""
    denied = False
    for i, item in enumerate(items):
        if item.kinds & int(Kind.NORMAL) and not (i and items[i - 1].kinds & _NEGATION):
            return True
        if denied and item.kinds & int(Kind.ABNORMALITY):
            return True
        denied = denied or bool(item.kinds & _NEGATION)
    return False


def _role(item: Item) -> Role:
    if item.term.directions:
        return "direction"
    return "adjective" if item.term.adjectives else "change"


def _sorted(places: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda p: (p.start, p.end, p.role)))


def _place(tokens: Tokens, item: Item, role: Role) -> Place:
    return Place(tokens.starts[item.start], tokens.ends[item.end - 1], role)
