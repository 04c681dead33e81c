"""How far cues reach: forward over what follows them, backward over the list they close."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medtrim.entities.lexicon import Kind
from medtrim.entities.matcher import Item
from medtrim.entities.statements import LIST, states_anew
from medtrim.types import Assertion

Reason = Literal["stated", "negation", "normal", "resolved", "history", "hypothetical", "hedge", "interpretation"]
ASSERTION_OF: dict[Reason, Assertion] = {
    "stated": "present",
    "negation": "absent",
    "normal": "absent",
    "resolved": "absent",
    "history": "absent",
    "hypothetical": "absent",
    "hedge": "uncertain",
    "interpretation": "uncertain",
}

_NEGATION, _AFTER = int(Kind.NEGATION), int(Kind.NEGATION_AFTER)
_RESOLVED, _RESOLVED_AFTER = int(Kind.RESOLVED), int(Kind.RESOLVED_AFTER)
_HEDGE, _HEDGE_AFTER = int(Kind.HEDGE), int(Kind.HEDGE_AFTER)
_INTERPRETATION, _PRONOUN = int(Kind.INTERPRETATION), int(Kind.PRONOUN)
_HISTORY, _HYPOTHETICAL = int(Kind.HISTORY), int(Kind.HYPOTHETICAL)
_NORMAL, _THE, _ANATOMY = int(Kind.NORMAL), int(Kind.THE), int(Kind.ANATOMY)
_BREAK, _VERB, _LINK = int(Kind.BREAK), int(Kind.VERB), int(Kind.LINK)
_COMMA, _AND, _OR = int(Kind.COMMA), int(Kind.AND), int(Kind.OR)
_ABNORMALITY, _FINDING, _CHANGE = int(Kind.ABNORMALITY), int(Kind.FINDING), int(Kind.CHANGE)
CUES = _NEGATION | _AFTER | _RESOLVED | _RESOLVED_AFTER | _HEDGE | _HEDGE_AFTER | _HISTORY | _HYPOTHETICAL
CUES |= _INTERPRETATION | _NORMAL
_BACK_STOP = int(Kind.WITH | Kind.LINK | Kind.EXISTENTIAL)
_MODIFIER = int(Kind.ADJECTIVE | Kind.DIRECTION)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a finding counts as it does, and the item that decided it (None for a plain statement)."""

    reason: Reason
    cue: int | None = None


STATED = Verdict("stated")


@dataclass(slots=True)
class _Reach:
    """The cues that reach the item at hand, reading forward; -1 where there is none."""

    items: list[Item]
    clauses: list[int]
    words: list[str]
    named: bool
    clause: int = -1
    negation: int = -1
    resolved: bool = False
    past: int = -1
    asked: int = -1
    offered: int = -1
    doubt: int = -1
    found_since: bool = field(default=False)
    verb_since: bool = field(default=False)

    def enter(self, i: int) -> None:
        """End what ends before item `i`: a new clause, a break, or a list entry that is a statement of its own."""
        kinds = self.items[i].kinds
        if self.clauses[i] != self.clause:
            self.clause = self.clauses[i]
            self.negation = self.past = self.asked = self.doubt = self.offered = -1
            self.verb_since = self.found_since = False
        if kinds & _BREAK:
            self.negation = self.past = self.asked = -1
            self.offered = self.offered if kinds & _INTERPRETATION else -1
            self.doubt = self.doubt if kinds & _HEDGE else -1
        elif kinds & LIST and self.found_since and self._in_reach() and self._ends_list(i):
            self.negation = self.past = self.asked = self.doubt = self.offered = -1

    def _in_reach(self) -> bool:
        return max(self.negation, self.past, self.asked, self.doubt, self.offered) >= 0

    def _ends_list(self, join: int) -> bool:
        doubted = max(self.negation, self.past, self.asked) < 0
        return self.verb_since or states_anew(self.items, self.clauses, join, self.words, doubted=doubted)

    def begin(self, i: int) -> None:
        """Begin the reach of the cue at `i`, if it is one."""
        kinds = self.items[i].kinds
        if kinds & _VERB and self.found_since:
            self.verb_since = True
        if kinds & _ABNORMALITY and self.negation >= 0:
            self.found_since = True  # "no acute abnormality": what is denied has been named
        closes = kinds & (_AFTER | _RESOLVED_AFTER) and self.found_since
        if kinds & (_NEGATION | _RESOLVED) and not closes:
            self.negation, self.resolved = i, bool(kinds & _RESOLVED)
            self.verb_since = self.found_since = False
        if kinds & _HISTORY:
            self.past = i
        if kinds & _HYPOTHETICAL and not kinds & _NEGATION:
            self.asked = i
        if kinds & (_INTERPRETATION | _HEDGE) and i and self.items[i - 1].kinds & _COMMA and self.found_since:
            self.negation = -1  # "no congestion, raising the possibility of pneumonia"
        if kinds & _INTERPRETATION:
            self.offered = i
            self.found_since = self.found_since and self.negation >= 0
        if kinds & _HEDGE_AFTER and not kinds & (_HEDGE | _OR) and leads_on(self.items, self.clauses, i):
            self.offered = i
        if kinds & _HEDGE:
            self.doubt = i
            if kinds & _LINK and self.negation < 0:
                self.found_since = False

    def verdict(self) -> Verdict:
        """What the cues in reach make of a finding; also notes that a finding has been named."""
        self.found_since = True
        found = STATED
        if self.asked >= 0 and not 0 <= self.negation < self.asked:
            found = Verdict("hypothetical", self.asked)
        elif self.negation >= 0:
            found = Verdict("resolved" if self.resolved else "negation", self.negation)
        elif self.past >= 0:
            found = Verdict("history", self.past)
        elif self.offered >= 0:
            found = Verdict("interpretation" if self.named else "hedge", self.offered)
        elif self.doubt >= 0:
            found = Verdict("hedge", self.doubt)
        self.named = self.named or ASSERTION_OF[found.reason] != "absent"
        return found


def reach_forward(items: list[Item], clauses: list[int], words: list[str], verdicts: dict[int, Verdict]) -> None:
    """Cues before a finding, over lists, to the end of the clause."""
    reach = _Reach(items, clauses, words, named=_goes_on(items))
    for i in range(len(items)):
        reach.enter(i)
        if i in verdicts:
            verdicts[i] = reach.verdict()
        else:
            reach.begin(i)


def _goes_on(items: list[Item]) -> bool:
    """Whether the sentence is about what the one before named: "This may …", "The differential includes …"."""
    first = items[0]
    if first.start != 0:
        return False
    if first.kinds == _THE and len(items) > 1 and items[1].start == first.end:
        first = items[1]
    return bool(first.kinds & (_PRONOUN | _INTERPRETATION))


def reach_backward(items: list[Item], clauses: list[int], words: list[str], verdicts: dict[int, Verdict]) -> None:
    """Cues after the finding reach back over the list they close: "effusion and pneumothorax are not seen"."""
    for i, item in enumerate(items):
        kinds = item.kinds
        answers = kinds & _NEGATION and _answers(items, clauses, i, words, verdicts)
        if not kinds & (_AFTER | _RESOLVED_AFTER | _HEDGE_AFTER | _NORMAL) and not answers:
            continue
        reason: Reason = "hedge"
        if kinds & (_AFTER | _NORMAL) or answers:
            reason = "normal" if kinds & _NORMAL else "negation"
        elif kinds & _RESOLVED_AFTER:
            reason = "resolved"
        if reason == "hedge" and not kinds & _OR and leads_on(items, clauses, i):
            continue
        for head in _reached_back(items, clauses, i, verdicts):
            old = verdicts[head].reason
            if old == "stated" or (old == "hedge" and reason != "hedge"):
                verdicts[head] = Verdict(reason, i)


def leads_on(items: list[Item], clauses: list[int], cue: int) -> bool:
    """Whether a finding follows the cue at once, so that it is about that: "the heart is probably enlarged"."""
    for i in range(cue + 1, len(items)):
        kinds = items[i].kinds
        if clauses[i] != clauses[cue] or kinds & (LIST | _BREAK):
            return False
        if kinds & (_FINDING | _CHANGE):
            return True
    return False


def _answers(
    items: list[Item], clauses: list[int], cue: int, words: list[str], verdicts: dict[int, Verdict]
) -> bool:
    """Whether the negation at `cue` is the answer to a heading: "Pneumothorax: no.", "Pneumothorax - no"."""
    after = (i for i in verdicts if i > cue and clauses[i] == clauses[cue])
    mark = items[cue - 1].kinds if cue > 0 else 0
    last = bool(mark & _COMMA) and words[items[cue - 1].start] != "," and items[cue].end == len(words)
    return (last or bool(mark & int(Kind.COLON))) and next(after, None) is None


def _reached_back(items: list[Item], clauses: list[int], cue: int, verdicts: dict[int, Verdict]) -> list[int]:
    found: list[int] = []
    joined = False
    commas = 0
    for j in range(cue - 1, -1, -1):
        if clauses[j] != clauses[cue]:
            break
        kinds = items[j].kinds
        if j in verdicts:
            if not found:
                if commas and cue - j > 2 and not items[cue].kinds & _HEDGE_AFTER:
                    break  # but "effusion, resolved"
                found.append(j)
            elif joined:
                found.append(j)
            else:
                break
        elif kinds & (_AND | _OR):
            joined = bool(found)
        elif kinds & _COMMA:
            commas += not found
        elif found:
            if not kinds & (_MODIFIER | _THE):
                break
        elif kinds & _BACK_STOP or (
            items[cue].kinds & _NORMAL and not items[cue].kinds & _AFTER and not kinds & _VERB
        ):
            break
    return found
