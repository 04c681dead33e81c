"""Findings whose noun is said once for two: "moderate left, but no right, effusion", "the left persists".

The noun is put in where it was left out, as a copy of the item that names it; the rules that follow then read the
sentence as if it had been said twice.
"""

from __future__ import annotations

from dataclasses import replace

from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item

_FINDING, _DIRECTION, _NEGATION = int(Kind.FINDING), int(Kind.DIRECTION), int(Kind.NEGATION)
_AFTER, _PRONOUN, _PREPOSITION = int(Kind.NEGATION_AFTER), int(Kind.PRONOUN), int(Kind.PREPOSITION)
_JOINT = int(Kind.COMMA | Kind.AND | Kind.BREAK)
_THE, _TREND = int(Kind.THE), int(Kind.TREND)
_PREDICATE = int(Kind.VERB | Kind.RESOLVED_AFTER | Kind.COMPARED | Kind.NEGATION_AFTER)


def restore_nouns(items: list[Item]) -> list[Item]:
    """`items` with the nouns that the sentence leaves out; the list itself where it leaves out none."""
    sides = {i for i, item in enumerate(items) if item.kinds & _DIRECTION and _is_sided(item)}
    if not sides:
        return items
    added: list[tuple[int, Item]] = []  # before which item, and what
    last: Item | None = None
    for i, item in enumerate(items):
        if item.kinds & _FINDING:
            at = _shared_noun(items, i)
            if at is not None:
                added.append((at, item))
            last = item
        elif (last is not None and i in sides and _stands_for_a_finding(items, i)) or (
            last is not None and item.kinds & _AFTER and item.kinds & _PRONOUN and _denies_elsewhere(items, i)
        ):
            added.append((i + 1, replace(last, start=item.start, end=item.end)))
    if not added:
        return items
    out = list(items)
    for at, item in reversed(added):
        out.insert(at, item)
    return out


def _is_sided(item: Item) -> bool:
    return "left" in item.term.directions or "right" in item.term.directions


def _shared_noun(items: list[Item], noun: int) -> int | None:
    """Where a noun is missing before the item `noun`: behind the first of two sided phrases, one of them denied."""
    joint = None
    sided = [False, False]
    negated = 0
    for i in range(noun - 1, -1, -1):
        kinds = items[i].kinds
        if kinds & _JOINT and not kinds & DESCRIPTOR:
            if sided[0] and (joint is None or not sided[1]):
                joint = i
        elif kinds & DESCRIPTOR and not kinds & _FINDING:
            sided[joint is not None] |= _is_sided(items[i])
        elif kinds & _NEGATION:
            negated += 1
            if joint is not None:
                break
        elif not kinds & _THE:
            break
    return joint if joint is not None and negated == 1 and all(sided) else None


def _stands_for_a_finding(items: list[Item], side: int) -> bool:
    """Whether a side alone is the subject: "…, the left persists"."""
    if side + 1 >= len(items) or items[side + 1].start != items[side].end:
        return False
    if not items[side + 1].kinds & _PREDICATE or items[side + 1].kinds & (_FINDING | DESCRIPTOR):
        return False
    if any(item.kinds & _FINDING for item in items[side + 1 : side + 3]):
        return False
    before = side - 1
    if before >= 0 and items[before].kinds & _THE:
        before -= 1
    elif items[side + 1].kinds & _TREND:
        return False  # "right greater than left"
    return before >= 0 and bool(items[before].kinds & _JOINT)


def _denies_elsewhere(items: list[Item], none: int) -> bool:
    """Whether the "none" there is of another place: "… but none on the left"."""
    follows = none + 1 < len(items) and bool(items[none + 1].kinds & _PREPOSITION)
    return follows and bool(items[none - 1].kinds & _JOINT)
