"""Sharing: what a finding takes over from its neighbours in the clause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medtrim.entities.lexicon import DESCRIPTOR, Kind

if TYPE_CHECKING:
    from medtrim.entities.binding import Binder

_ADJECTIVE, _DIRECTION = int(Kind.ADJECTIVE), int(Kind.DIRECTION)
_OR, _LINK = int(Kind.OR), int(Kind.LINK)
_APART = int(Kind.AND | Kind.COMMA | Kind.THE | Kind.OPEN | Kind.PREPOSITION) | DESCRIPTOR

# A finding looks past so many neighbours for a place; a clause that names more is a list, not a description.
MAX_HOPS = 8


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
