"""What has become of each finding since the prior study: new, larger, smaller, unchanged, resolved, partially."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.entities.heads import Head
from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item
from medtrim.entities.reach import Verdict
from medtrim.types import CHANGES, Change

_COMPARED, _FINDING, _VERB = int(Kind.COMPARED), int(Kind.FINDING), int(Kind.VERB)
_PREPOSITION, _JOINT = int(Kind.PREPOSITION), int(Kind.AND | Kind.OR | Kind.COMMA)
_PASSED = DESCRIPTOR | int(Kind.THE | Kind.PREPOSITION | Kind.PARTITIVE | Kind.TREND | Kind.COMPARED | Kind.CHANGE)
_PASSED |= int(Kind.ANATOMY)
_ORDER = {name: rank for rank, name in enumerate(CHANGES)}


@dataclass(frozen=True, slots=True)
class ChangeMention:
    """The change of a finding and the item that says it."""

    name: Change
    item: int


def changes_of(
    items: list[Item], clauses: list[int], heads: list[Head], verdicts: list[Verdict]
) -> dict[int, ChangeMention]:
    """Head number → what has become of the finding, where the sentence says so."""
    if not any(item.kinds & _COMPARED for item in items):
        return {}
    return _Comparison(items, clauses, heads, verdicts).bind()


class _Comparison:
    """Binds words of change to the heads of one sentence.

    Such a word describes the finding whose noun phrase it opens ("unchanged left effusion", "decrease in the
    effusion"), else the one before it and, behind a verb, all of the list ("edema and effusion have decreased").
    Of several words the one that says most is kept: "persistent, slightly larger" is larger.
    """

    def __init__(self, items: list[Item], clauses: list[int], heads: list[Head], verdicts: list[Verdict]) -> None:
        self._items = items
        self._clauses = clauses
        self._verdicts = verdicts
        self._at: dict[int, list[int]] = {}
        self._parts: set[int] = set()
        for number, head in enumerate(heads):
            self._at.setdefault(head.index, []).append(number)
            self._parts.update(head.parts)
        self._found: dict[int, ChangeMention] = {}

    def bind(self) -> dict[int, ChangeMention]:
        for i, item in enumerate(self._items):
            if item.kinds & _COMPARED and i not in self._parts and item.term.compared in _ORDER:
                for at in self._targets(i):
                    for number in self._at[at]:
                        self._give(number, i)
        return self._found

    def _give(self, number: int, i: int) -> None:
        verdict = self._verdicts[number]
        change: Change = self._items[i].term.compared  # type: ignore[assignment]
        denied = verdict.reason in ("negation", "normal", "history", "hypothetical")
        if change == "resolved":
            if verdict.cue != i and verdict.reason != "resolved":
                return  # "no resolution", "has not cleared"
        elif denied or verdict.reason == "resolved":
            return  # what is not there has not changed
        old = self._found.get(number)
        if old is None or _ORDER[change] < _ORDER[old.name]:
            self._found[number] = ChangeMention(change, i)

    def _targets(self, i: int) -> list[int]:
        ahead = self._ahead(i)
        if ahead:
            return ahead
        behind = self._behind(i)
        return behind or self._clause_before(i)

    def _ahead(self, i: int) -> list[int]:
        found: list[int] = []
        linked = joined = False
        for j in range(i + 1, len(self._items)):
            kinds = self._items[j].kinds
            if self._clauses[j] != self._clauses[i]:
                break
            if j in self._at:
                if found and not joined:
                    break
                found.append(j)
                joined = False
                if not linked:
                    break  # "unchanged effusion and atelectasis": of the second nothing is said
            elif found and kinds & _JOINT:
                joined = True
            elif kinds & _PASSED and not (kinds & _VERB and not kinds & _PREPOSITION):
                linked = linked or bool(kinds & _PREPOSITION)
            else:
                break
        return found

    def _behind(self, i: int) -> list[int]:
        found: list[int] = []
        verb = joined = False
        for j in range(i - 1, -1, -1):
            kinds = self._items[j].kinds
            if self._clauses[j] != self._clauses[i]:
                break
            if j in self._at:
                if found and not joined:
                    break
                found.append(j)
                joined = False
                if not verb:
                    break
            elif found and kinds & _JOINT:
                joined = True
            elif found and not kinds & _PASSED:
                break
            verb = verb or (not found and bool(kinds & _VERB))
        return found

    def _clause_before(self, i: int) -> list[int]:
        """A clause that names no finding goes on about the last one before it: "…; unchanged"."""
        here = self._clauses[i]
        if any(self._clauses[j] == here for j in self._at):
            return []
        before = [j for j in self._at if self._clauses[j] == here - 1]
        return [max(before)] if before else []
