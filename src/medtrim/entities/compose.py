"""Cues of several words: "not" with a verb of seeing, "cannot" with "exclude", "no" with a noun of change.

A report negates in more ways than a list can hold ("has not been convincingly identified", "no appreciable interval
change in"). The words that decide are matched one by one; here those that stand together, at most three words apart
and with nothing but adverbs and auxiliaries between them, become one cue.
"""

from __future__ import annotations

from medtrim.entities.lexicon import DESCRIPTOR, Kind, Term
from medtrim.entities.matcher import Item
from medtrim.entities.tokens import Tokens

_NOT, _UNABLE, _PERCEIVED, _EXCLUDE = int(Kind.NOT), int(Kind.UNABLE), int(Kind.PERCEIVED), int(Kind.EXCLUDE)
_MEASURE, _PARTIAL, _NON, _COMPARED = int(Kind.MEASURE), int(Kind.PARTIAL), int(Kind.NON), int(Kind.COMPARED)
_NEGATION, _OR, _FINDING = int(Kind.NEGATION), int(Kind.OR), int(Kind.FINDING)
_CHANGE, _ANATOMY = int(Kind.CHANGE), int(Kind.ANATOMY)
_RESOLVED = int(Kind.RESOLVED | Kind.RESOLVED_AFTER)
_CHANGED = _MEASURE | _RESOLVED | _COMPARED
_TRIGGERS = _NOT | _UNABLE | _PARTIAL | _NON | _NEGATION | _OR | _RESOLVED
# Nothing else may stand between the words of one cue.
_STOP = int(
    Kind.FINDING | Kind.ANATOMY | Kind.COMMA | Kind.AND | Kind.OR | Kind.BREAK | Kind.OPEN | Kind.COLON | Kind.WITH
) | int(Kind.EXISTENTIAL | Kind.NEGATION | Kind.PRONOUN)
MAX_GAP = 3
MAX_NOUN_GAP = 4

_HEDGED = Term(kinds=int(Kind.HEDGE | Kind.HEDGE_AFTER))
_UNSEEN = Term(kinds=int(Kind.NEGATION | Kind.NEGATION_AFTER))
_UNSEEN_NOW = Term(kinds=_UNSEEN.kinds | _COMPARED, compared="resolved")
_INERT = Term(kinds=int(Kind.PSEUDO_NEGATION))
_UNCHANGED = Term(kinds=int(Kind.PSEUDO_NEGATION | Kind.COMPARED), compared="unchanged")
_PARTLY = Term(kinds=int(Kind.PARTITIVE | Kind.COMPARED), compared="partially resolved")
_PASSED = Term(kinds=int(Kind.PARTITIVE))
_COMMA = Term(kinds=int(Kind.COMMA))


def compose(items: list[Item], tokens: Tokens) -> list[Item]:
    """`items` with the words that make one cue joined; the list itself where there are none."""
    kinds = 0
    for item in items:
        kinds |= item.kinds
    joins = kinds & (_NOT | _UNABLE) and kinds & (_EXCLUDE | _PERCEIVED | _CHANGED)
    joins = joins or (kinds & (_NEGATION | _PARTIAL) and kinds & (_MEASURE | _RESOLVED))
    if not joins and not kinds & _NON and "/" not in tokens.words:
        return items
    out: list[Item] = []
    i = 0
    while i < len(items):
        joined = _cue_at(items, tokens, i) if items[i].kinds & _TRIGGERS else None
        if joined is None:
            out.append(items[i])
            i += 1
            continue
        term, last = joined
        if term is not None:
            out.append(Item(term.kinds, items[i].start, items[last].end, term))
        i = last + 1
    return out


def _cue_at(items: list[Item], tokens: Tokens, i: int) -> tuple[Term | None, int] | None:
    """The cue that begins at item `i` and the last item of it; None where item `i` stands for itself."""
    kinds = items[i].kinds
    if kinds & _NON:
        following = i + 1 < len(items) and items[i + 1].start == items[i].end
        if following and items[i + 1].kinds & DESCRIPTOR and not items[i + 1].kinds & _FINDING:
            return _PASSED, i + 1
        return None, i
    if kinds & (_NOT | _UNABLE):
        found = _denied_verb(items, i)
        if found is not None:
            return found
    if kinds & _NEGATION:
        return _denied_change(items, i)
    if kinds & _PARTIAL:
        last = _ahead(items, i, _RESOLVED | _MEASURE, MAX_GAP)
        resolved = last is not None and (items[last].kinds & _RESOLVED or items[last].term.compared == "resolved")
        return (_PARTLY, last) if resolved and last is not None else None
    if kinds & _RESOLVED:
        last = i + 1
        behind = last < len(items) and items[last].kinds & _PARTIAL and items[last].start == items[i].end
        return (_PARTLY, last) if behind else None
    if kinds & _OR and _is_spaced_slash(items[i], tokens):
        return _COMMA, i
    return None


def _denied_verb(items: list[Item], i: int) -> tuple[Term, int] | None:
    """ "Cannot be excluded" doubts, "has not been identified" denies, "has not changed" does neither."""
    last = _ahead(items, i, _EXCLUDE, MAX_GAP)
    if last is not None:
        return _HEDGED, last
    if not items[i].kinds & _NOT:
        return None
    last = _ahead(items, i, _PERCEIVED | _CHANGED, MAX_GAP)
    if last is None:
        return None
    kinds = items[last].kinds
    if kinds & _PERCEIVED and not kinds & _MEASURE:
        return (_UNSEEN_NOW if items[i].term.compared else _UNSEEN), last
    return (_UNCHANGED if kinds & _MEASURE and not items[last].term.compared else _INERT), last


def _denied_change(items: list[Item], i: int) -> tuple[Term, int] | None:
    """ "No appreciable interval change in the effusion" denies the change; "no worsening edema" the edema."""
    last = _ahead(items, i, _MEASURE | int(Kind.RESOLVED), MAX_NOUN_GAP)
    if last is None:
        return None
    if items[last].kinds & _CHANGE and _is_of_an_anatomy(items, last):
        return None  # "no enlargement of the heart"
    nxt = last + 1
    if nxt < len(items) and items[nxt].start == items[last].end and items[nxt].kinds & (_FINDING | DESCRIPTOR):
        return None
    return (_INERT if items[last].term.compared else _UNCHANGED), last


def _is_of_an_anatomy(items: list[Item], change: int) -> bool:
    for item in items[change + 1 :]:
        if item.kinds & (_FINDING | _ANATOMY):
            return not item.kinds & _FINDING
    return False


def _ahead(items: list[Item], i: int, wanted: int, gap: int) -> int | None:
    """The next item of a `wanted` kind within `gap` words of item `i`, with nothing between that parts them."""
    for j in range(i + 1, len(items)):
        if items[j].start - items[i].end > gap:
            return None
        if items[j].kinds & wanted:
            return j
        if items[j].kinds & _STOP:
            return None
    return None


def _is_spaced_slash(item: Item, tokens: Tokens) -> bool:
    """Whether the item is a slash with white space around it, which lists statements and not alternatives."""
    k = item.start
    return (
        tokens.words[k] == "/"
        and 0 < k < len(tokens) - 1
        and tokens.ends[k - 1] < tokens.starts[k]
        and tokens.ends[k] < tokens.starts[k + 1]
    )
