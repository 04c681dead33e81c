"""Reading one sentence: tokens, matches, clauses, heads, verdicts, descriptors, findings."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.entities.assertion import judge
from medtrim.entities.binding import Binder, Bound
from medtrim.entities.clauses import clause_ids
from medtrim.entities.compose import compose
from medtrim.entities.heads import Head, HeadFinder
from medtrim.entities.lexicon import DESCRIPTOR, Kind, Lexicon
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.ontology import Ontology
from medtrim.entities.reach import ASSERTION_OF, Verdict
from medtrim.entities.tokens import Tokens, tokenize
from medtrim.types import Assertion, Role

_SIDE = "side"
# "Opacity, may represent pneumonia" names one thing seen, the opacity. What it may be is kept beside it under its
# own name, so that a score over diseases compares what studies show and not what their readers thought of.
DIFFERENTIAL = "differential: "
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


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """What one sentence says.

    `loose` are descriptors of the finding of the sentence before ("It is small."). `refers` says that the sentence
    is about that finding ("This represents atelectasis."), so that what it names is where that is.
    """

    findings: tuple[SentenceFinding, ...] = ()
    loose: SentenceFinding | None = None
    refers: bool = False


_EMPTY = SentenceReading()


class SentenceReader:
    """Reads sentences by one ontology. Pure: the same sentence always reads the same."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self.lexicon = Lexicon(ontology)
        self._heads = HeadFinder(ontology)
        self._roles = {name: d.role for name, d in ontology.descriptors.items()}
        self._kinds = {name: d.kind for name, d in ontology.descriptors.items()}

    def read(self, sentence: str) -> SentenceReading:
        """The findings of `sentence`, in order of appearance."""
        tokens = tokenize(sentence)
        items = compose(resolve_overlaps(find_matches(tokens, self.lexicon)), tokens)
        if not items:
            return _EMPTY
        clauses = clause_ids(items)
        heads = self._heads.find(items, clauses)
        if not heads:
            return self._without_heads(tokens, items)
        verdicts = judge(items, clauses, sorted({h.index for h in heads if h.normal is None}), tokens.words)
        judged = [verdicts[h.index] if h.normal is None else Verdict("normal", h.normal) for h in heads]
        absent = [ASSERTION_OF[verdict.reason] == "absent" for verdict in judged]
        bound = Binder(items, tokens, clauses, heads, absent, self._kinds).bind()
        findings: list[SentenceFinding] = []
        for head, verdict, descriptors in zip(heads, judged, bound, strict=True):
            for part in self._parts(items, descriptors):
                findings.extend(self._finding(tokens, items, head, verdict, part, descriptors.borrowed))
        refers = bool(items[0].kinds & int(Kind.PRONOUN)) and items[0].start == 0
        return SentenceReading(tuple(findings), refers=refers and any(not f.directions for f in findings))

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
        places.sort(key=lambda p: (p.start, p.end, p.role))
        prefix = DIFFERENTIAL if verdict.reason == "interpretation" else ""
        return [
            SentenceFinding(
                prefix + disease,
                ASSERTION_OF[verdict.reason],
                tuple(sorted(adjectives)),
                tuple(sorted(directions)),
                tuple(places),
            )
            for disease in head.concept.reports_as
        ]

    def _without_heads(self, tokens: Tokens, items: list[Item]) -> SentenceReading:
        """A sentence that names no finding may go on about the one before: "It is small." "Moderate in size."."""
        if any(item.kinds & _ELLIPSIS_BAR for item in items):
            return _EMPTY
        described = [item for item in items if item.kinds & DESCRIPTOR]
        opens = items[0].start == 0 and items[0].kinds & int(Kind.PRONOUN)
        if items[0].start == 0 and items[0].kinds & DESCRIPTOR:
            opens = not any(item.kinds & int(Kind.VERB) for item in items)
        if not described or not opens or len(tokens) > 15:
            return _EMPTY
        adjectives = sorted({a for item in described for a in item.term.adjectives})
        directions = sorted({d for item in described for d in item.term.directions})
        places = [_place(tokens, i, "direction" if i.term.directions else "adjective") for i in described]
        return SentenceReading(
            loose=SentenceFinding("", "present", tuple(adjectives), tuple(directions), tuple(places))
        )


def _place(tokens: Tokens, item: Item, role: Role) -> Place:
    return Place(tokens.starts[item.start], tokens.ends[item.end - 1], role)
