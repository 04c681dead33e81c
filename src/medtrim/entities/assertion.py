"""Assertion: is a finding stated, doubted or denied, and which words say so.

Rules in the tradition of NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009): cues before and after,
their reach ended by clause breaks. Here a reach also ends at a list entry that is plainly stated ("no pneumothorax,
small left effusion"), and phrases that only look like negation ("no change in") are matched as wholes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medtrim.entities.clauses import clause_ids
from medtrim.entities.lexicon import Kind, Lexicon, Term
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.tokens import tokenize
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
_BREAK, _VERB, _FINDING = int(Kind.BREAK), int(Kind.VERB), int(Kind.FINDING)
_COMMA, _AND, _OR, _WITH = int(Kind.COMMA), int(Kind.AND), int(Kind.OR), int(Kind.WITH)
_LIST = _COMMA | _AND | _WITH
_CUES = _NEGATION | _AFTER | _RESOLVED | _RESOLVED_AFTER | _HEDGE | _HEDGE_AFTER | _HISTORY | _HYPOTHETICAL
_CUES |= _INTERPRETATION | _NORMAL
_BACK_STOP = int(Kind.WITH | Kind.LINK | Kind.EXISTENTIAL)
_MODIFIER = int(Kind.ADJECTIVE | Kind.DIRECTION)
# A list entry that begins so is a statement of its own, not one more denied finding.
_STATED = frozenset({"mild", "moderate", "severe", "borderline", "small", "persistent", "chronic", "left", "right"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a finding counts as it does, and the item that decided it (None for a plain statement)."""

    reason: Reason
    cue: int | None = None


_STATED_VERDICT = Verdict("stated")


def judge(items: list[Item], clauses: list[int], heads: list[int]) -> dict[int, Verdict]:
    """A verdict for each item index in `heads` (ascending)."""
    verdicts = dict.fromkeys(heads, _STATED_VERDICT)
    present = False
    for item in items:
        if item.kinds & _CUES:
            present = True
            break
    if present:
        _forward(items, clauses, verdicts)
        _backward(items, clauses, heads, verdicts)
    return verdicts


def _forward(items: list[Item], clauses: list[int], verdicts: dict[int, Verdict]) -> None:
    """Cues before the finding: negation outweighs history, history the hedge."""
    negation = past = doubt = asked = offered = -1
    resolved = False
    named = _goes_on(items)
    verb_since = found_since = False
    clause = -1
    for i, item in enumerate(items):
        kinds = item.kinds
        if clauses[i] != clause:
            clause = clauses[i]
            negation = past = doubt = offered = -1
            verb_since = found_since = False
        if i in verdicts:
            found_since = True
            if asked >= 0 and not 0 <= negation < asked:
                verdicts[i] = Verdict("hypothetical", asked)
            elif negation >= 0:
                verdicts[i] = Verdict("resolved" if resolved else "negation", negation)
            elif past >= 0:
                verdicts[i] = Verdict("history", past)
            elif offered >= 0:
                verdicts[i] = Verdict("interpretation" if named else "hedge", offered)
            elif doubt >= 0:
                verdicts[i] = Verdict("hedge", doubt)
            named = named or ASSERTION_OF[verdicts[i].reason] != "absent"
            continue
        if kinds & _BREAK:
            negation = past = -1
            offered = offered if kinds & _INTERPRETATION else -1
            doubt = doubt if kinds & _HEDGE else -1
        elif kinds & _LIST and found_since and (verb_since or _states_anew(items, clauses, i)):
            negation = past = doubt = offered = -1
        if kinds & _VERB and found_since:
            verb_since = True
        if not kinds & _CUES:
            continue
        if kinds & (_NEGATION | _RESOLVED) and not (kinds & (_AFTER | _RESOLVED_AFTER) and found_since):
            negation, resolved = i, bool(kinds & _RESOLVED)
            verb_since = found_since = False
        if kinds & _HISTORY:
            past = i
        if kinds & _HYPOTHETICAL and not kinds & _NEGATION:
            asked = i
        if kinds & _INTERPRETATION:
            offered = i
            found_since = found_since and negation >= 0
        if kinds & _HEDGE:
            doubt = i
            if kinds & int(Kind.LINK) and negation < 0:
                found_since = False


def _goes_on(items: list[Item]) -> bool:
    """Whether the sentence is about what the one before named: "This may …", "The differential includes …"."""
    first = items[0]
    if first.start != 0:
        return False
    if first.kinds == _THE and len(items) > 1 and items[1].start == first.end:
        first = items[1]
    return bool(first.kinds & (_PRONOUN | _INTERPRETATION))


def _states_anew(items: list[Item], clauses: list[int], join: int) -> bool:
    """Whether the list entry after `join` begins as a statement and no "or" closes the list."""
    nxt = join + 1
    if nxt >= len(items) or clauses[nxt] != clauses[join]:
        return False
    first = items[nxt].term
    if not items[nxt].kinds & _ANATOMY and not (
        _STATED.intersection(first.adjectives) or _STATED.intersection(first.directions)
    ):
        return False
    for i in range(nxt, len(items)):
        if clauses[i] != clauses[join]:
            break
        if items[i].kinds & _OR:
            return False
    return True


def _backward(items: list[Item], clauses: list[int], heads: list[int], verdicts: dict[int, Verdict]) -> None:
    """Cues after the finding reach back over the list they close: "effusion and pneumothorax are not seen"."""
    for i, item in enumerate(items):
        kinds = item.kinds
        answers = kinds & _NEGATION and _answers(items, clauses, i, verdicts)
        if not kinds & (_AFTER | _RESOLVED_AFTER | _HEDGE_AFTER | _NORMAL) and not answers:
            continue
        reason: Reason = "hedge"
        if kinds & (_AFTER | _NORMAL) or answers:
            reason = "normal" if kinds & _NORMAL else "negation"
        elif kinds & _RESOLVED_AFTER:
            reason = "resolved"
        for head in _reached_back(items, clauses, i, verdicts):
            old = verdicts[head].reason
            if old == "stated" or (old == "hedge" and reason != "hedge"):
                verdicts[head] = Verdict(reason, i)


def _answers(items: list[Item], clauses: list[int], cue: int, verdicts: dict[int, Verdict]) -> bool:
    """Whether the negation at `cue` is the answer to a heading: "Pneumothorax: no."."""
    after = (i for i in verdicts if i > cue and clauses[i] == clauses[cue])
    return cue > 0 and bool(items[cue - 1].kinds & int(Kind.COLON)) and next(after, None) is None


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
        elif kinds & _BACK_STOP or (items[cue].kinds & _NORMAL and not kinds & _VERB):
            break
    return found


@dataclass(frozen=True, slots=True)
class SpanAssertion:
    """What a sentence says of a span: the assertion, why, and the character range of the deciding cue."""

    assertion: Assertion
    reason: Reason
    cue_start: int | None = None
    cue_end: int | None = None


def assert_span(sentence: str, start: int, end: int, *, lexicon: Lexicon) -> SpanAssertion:
    """How `sentence` asserts the concept at characters `start`–`end`, whatever the concept is."""
    tokens = tokenize(sentence)
    inside = [k for k in range(len(tokens)) if tokens.starts[k] < end and tokens.ends[k] > start]
    if not inside:
        return SpanAssertion("present", "stated")
    first, last = inside[0], inside[-1] + 1
    matches = [m for m in find_matches(tokens, lexicon) if m.end <= first or m.start >= last]
    concept = Item(_FINDING, first, last, Term(kinds=_FINDING))
    items = resolve_overlaps(matches)
    items.append(concept)
    items.sort(key=lambda m: m.start)
    at = items.index(concept)
    heads = [k for k, item in enumerate(items) if item is concept or item.kinds & _FINDING]
    verdict = judge(items, clause_ids(items), heads)[at]
    cue = None if verdict.cue is None else items[verdict.cue]
    return SpanAssertion(
        ASSERTION_OF[verdict.reason],
        verdict.reason,
        None if cue is None else tokens.starts[cue.start],
        None if cue is None else tokens.ends[cue.end - 1],
    )
