"""Binding: which finding a descriptor describes, and what a finding takes over from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from medtrim.entities.heads import Head
from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item
from medtrim.entities.tokens import Tokens

_ADJECTIVE, _DIRECTION = int(Kind.ADJECTIVE), int(Kind.DIRECTION)
_THE, _AND, _OR, _COMMA = int(Kind.THE), int(Kind.AND), int(Kind.OR), int(Kind.COMMA)
_JOIN = _AND | _OR | _COMMA
_PREPOSITION, _LINK = int(Kind.PREPOSITION), int(Kind.LINK)
_ANATOMY, _IGNORE, _VERB = int(Kind.ANATOMY), int(Kind.IGNORE), int(Kind.VERB)
_OPEN, _PARTITIVE, _TREND = int(Kind.OPEN), int(Kind.PARTITIVE), int(Kind.TREND)
_NEGATION, _NORMAL = int(Kind.NEGATION), int(Kind.NORMAL)
_PLAIN_NOUN = int(Kind.MEASURE | Kind.ABNORMALITY | Kind.ELSEWHERE)
_APART = int(Kind.AND | Kind.COMMA | Kind.THE | Kind.OPEN | Kind.PREPOSITION) | DESCRIPTOR
_LEFT_STOP = int(Kind.NEGATION | Kind.WITH | Kind.EXISTENTIAL)


# A finding looks past so many neighbours for a place; a clause that names more is a list, not a description.
MAX_HOPS = 8


@dataclass(slots=True)
class Bound:
    """The descriptor items of one head, in order of position, with the phrase (group) each came from.

    `borrowed` are those that a neighbour said.
    """

    items: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    borrowed: set[int] = field(default_factory=set)


class Binder:
    """Binds the descriptors of one sentence to its heads.

    In order: to the head whose noun phrase the descriptor opens; else to the nearest head before it in the clause
    ("effusion, moderate, on the left"); else to the next head after it ("in the left base there is an opacity").
    A head that cannot carry the descriptor (no side for the heart) is passed over.
    """

    def __init__(
        self,
        items: list[Item],
        tokens: Tokens,
        clauses: list[int],
        heads: list[Head],
        absent: list[bool],
        kinds_of: dict[str, str],
    ) -> None:
        self.items = items
        self.tokens = tokens
        self.absent = absent
        self.clauses = clauses
        self.heads = heads
        self.bound = [Bound() for _ in heads]
        self._kinds_of = kinds_of
        self._joints = list(accumulate((bool(item.kinds & _JOIN) for item in items), initial=0))
        self._at: dict[int, list[int]] = {}
        self.parts: set[int] = set()
        for number, head in enumerate(heads):
            self._at.setdefault(head.index, []).append(number)
            self.parts.update(head.parts)
        self.after: dict[int, bool] = {}

    def bind(self) -> list[Bound]:
        """The descriptors of every head, shared over coordinations and links."""
        for i, item in enumerate(self.items):
            if item.kinds & DESCRIPTOR and i not in self.parts:
                for number in self._target(i):
                    self.bound[number].items.append(i)
                    self.bound[number].groups.append(self._group(i))
        Sharer(self).share()
        return self.bound

    def accepts(self, number: int, i: int) -> bool:
        """Whether head `number` can carry the descriptor item `i`."""
        takes = self.heads[number].concept.takes
        term = self.items[i].term
        if not term.directions:
            return True
        if not takes:
            return False
        return any(self._kinds_of[d] in takes or self._kinds_of[d] == "place" for d in term.directions)

    def _target(self, i: int) -> list[int]:
        if self._is_of_a_trend(i):
            return []
        right, absorbed = self._opens(i)
        if right:
            self.after[i] = False
            return right
        if absorbed or self._is_of_an_anatomy(i) or self._describes_an_unknown_noun(i):
            return []
        left = self._left(i)
        if left:
            self.after[i] = True
            return left
        return self._right(i)

    def _is_of_a_trend(self, i: int) -> bool:
        """Whether item `i` measures a change since the last study: "slightly increased", "marked improvement"."""
        nxt = i + 1
        return (
            nxt < len(self.items)
            and bool(self.items[nxt].kinds & _TREND)
            and nxt not in self.parts
            and self.items[nxt].start == self.items[i].end
            and not self.items[i].term.directions
        )

    def _is_of_an_anatomy(self, i: int) -> bool:
        """Whether a descriptor is of an anatomy outside any finding: "angles are sharp", "clear bilaterally"."""
        item = self.items[i]
        if i < 2 or self.items[i - 1].end != item.start:
            return False
        if item.term.directions:
            return bool(self.items[i - 1].kinds & _NORMAL)
        if not self.items[i - 1].kinds & _VERB:
            return False
        subject = self.items[i - 2]
        return bool(subject.kinds & _ANATOMY) and i - 2 not in self.parts and subject.end == self.items[i - 1].start

    def _describes_an_unknown_noun(self, i: int) -> bool:
        """Whether an adjective stands before a word that the ontology does not know: "acute process"."""
        item = self.items[i]
        if item.term.directions or item.end >= len(self.tokens):
            return False
        word = self.tokens.words[item.end]
        after = self.items[i + 1] if i + 1 < len(self.items) else item
        known = after.start == item.end and bool(after.kinds & ~_PLAIN_NOUN)
        predicate = i > 0 and self.items[i - 1].kinds & _VERB and self.items[i - 1].end == item.start
        return word.isalpha() and not known and not predicate

    def _opens(self, i: int) -> tuple[list[int], bool]:
        """The heads of the noun phrase that item `i` opens; or whether another noun takes the descriptor."""
        items, n = self.items, len(self.items)
        placed = self._in_prepositional_phrase(i)
        behind = self._is_behind_a_head(i)
        for j in range(i + 1, n):
            if self.clauses[j] != self.clauses[i]:
                break
            if placed and items[j].start > items[j - 1].end:
                break  # "in the left base, XXXX effusion": a word in between parts the place from what follows
            kinds = items[j].kinds
            if j in self._at:
                fits = [number for number in self._at[j] if self.accepts(number, i)]
                if fits:
                    return fits, False
                continue
            if kinds & _IGNORE or (kinds & _ANATOMY and items[j].term.absorbs and j not in self.parts):
                return [], True
            if kinds & (DESCRIPTOR | _OPEN | _PARTITIVE | _TREND) or j in self.parts:
                continue
            if kinds & _ANATOMY:
                continue
            if kinds & _JOIN and not placed and not behind and j + 1 < n and items[j + 1].kinds & DESCRIPTOR:
                continue
            if kinds & _PREPOSITION and self._is_range(j):
                continue
            break
        return [], False

    def _is_behind_a_head(self, i: int) -> bool:
        """Whether only descriptors stand between item `i` and a head before it: "effusions bilaterally and …"."""
        for j in range(i - 1, -1, -1):
            if j in self._at:
                return self.clauses[j] == self.clauses[i]
            if not self.items[j].kinds & DESCRIPTOR:
                return False
        return False

    def _is_range(self, j: int) -> bool:
        """Whether the "to" at `j` stands between two adjectives: "mild to moderate"."""
        items = self.items
        return (
            0 < j < len(items) - 1
            and bool(items[j - 1].kinds & _ADJECTIVE)
            and bool(items[j + 1].kinds & _ADJECTIVE)
            and items[j].end - items[j].start == 1
        )

    def _in_prepositional_phrase(self, i: int) -> bool:
        for j in range(i - 1, -1, -1):
            kinds = self.items[j].kinds
            if kinds & _PREPOSITION and not self._is_range(j):
                return True
            if not kinds & (DESCRIPTOR | _THE | _PARTITIVE):
                return False
        return False

    def _left(self, i: int) -> list[int]:
        for j in range(i - 1, -1, -1):
            if self.clauses[j] != self.clauses[i]:
                break
            stop = _NEGATION if self.items[i].term.directions else _LEFT_STOP
            if self.items[j].kinds & stop and not self.items[j].kinds & int(Kind.NEGATION_AFTER):
                break
            if j in self._at:
                fits = [number for number in self._at[j] if self.accepts(number, i)]
                if fits:
                    return fits
        return []

    def _right(self, i: int) -> list[int]:
        for j in range(i + 1, len(self.items)):
            if self.clauses[j] != self.clauses[i]:
                break
            if j in self._at:
                fits = [number for number in self._at[j] if self.accepts(number, i)]
                if fits:
                    return fits
        return self._earlier_clause(i)

    def _earlier_clause(self, i: int) -> list[int]:
        """A clause without a subject of its own goes on about the last head of the clause before it."""
        clause = self.clauses[i]
        for j, item in enumerate(self.items):
            if self.clauses[j] == clause and (j in self._at or item.kinds & (_ANATOMY | _IGNORE | _VERB)):
                return []
        for number in range(len(self.heads) - 1, -1, -1):
            index = self.heads[number].index
            if index < i and self.clauses[index] == clause - 1 and self.accepts(number, i):
                return [number]
        return []

    def _group(self, i: int) -> int:
        """The number of list joints before item `i`: descriptors between two joints form one phrase."""
        return self._joints[i]


class Sharer:
    """Shares the descriptors that a binder has bound."""

    def __init__(self, binder: Binder) -> None:
        self._binder = binder

    def share(self) -> None:
        """What a finding has not said of itself it takes from its neighbours in the clause.

        Adjectives before alternatives hold for each ("minimal scarring or atelectasis"). A place holds for what is
        named after it ("left lower lobe opacity, likely atelectasis") and, behind a list, for all of the list.
        """
        count = len(self._binder.heads)
        for number in range(1, count):
            if self._joint(number - 1, number) == "or" and not self._binder.absent[number]:
                self._give(number - 1, number, _ADJECTIVE, after=False)
        for number in range(1, count):
            for giver in range(number - 1, max(number - 1 - MAX_HOPS, -1), -1):
                if not self._in_one_clause(giver, number) or self._give(giver, number, _DIRECTION, after=None):
                    break
        for number in range(count - 1, 0, -1):
            if self._joint(number - 1, number) in ("and", "or"):
                self._give(number, number - 1, _DIRECTION, after=True)

    def _give(self, giver: int, taker: int, wanted: int, *, after: bool | None) -> bool:
        """Give `taker` the descriptors of `giver` where it has none of their kind; whether it has any then.

        `after` restricts them to those behind (True) or before (False) the giver's word. What is denied takes no
        place from what is seen.
        """
        mine = self._binder.bound[taker]
        if any(self._binder.items[i].kinds & wanted for i in mine.items):
            return True
        if self._binder.absent[giver] != self._binder.absent[taker]:
            return False
        if "device" in self._binder.heads[giver].concept.reports_as:
            return False  # where a tube lies is not where a finding is
        given = False
        for i, group in zip(self._binder.bound[giver].items, self._binder.bound[giver].groups, strict=True):
            if not self._binder.items[i].kinds & wanted or not self._binder.accepts(taker, i):
                continue
            if after is None or self._binder.after.get(i, False) == after:
                mine.items.append(i)
                mine.groups.append(group)
                mine.borrowed.add(i)
                given = True
        return given

    def _in_one_clause(self, left: int, right: int) -> bool:
        a, b = self._binder.heads[left], self._binder.heads[right]
        return self._binder.clauses[a.index] == self._binder.clauses[b.index]

    def _joint(self, left: int, right: int) -> str:
        """How two heads are joined: "or", "and" (also side by side), "far" in one clause, or "" in two."""
        a, b = self._binder.heads[left], self._binder.heads[right]
        if self._binder.clauses[a.index] != self._binder.clauses[b.index]:
            return ""
        joint = "and"
        for j in range(a.index + 1, b.index):
            kinds = self._binder.items[j].kinds
            if j in self._binder.parts:
                continue
            if kinds & _OR and not kinds & _LINK:
                joint = "or" if joint != "far" else joint
            elif not kinds & _APART:
                joint = "far"
        return joint
