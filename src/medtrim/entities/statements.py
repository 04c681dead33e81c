"""Where a list of denied findings ends and a statement begins: "No pneumothorax, the right effusion is smaller."

An entry of a list is a statement of its own when it has what a denied finding has not: a determiner, a size or
side, a comparison with the prior study ("stable cardiomegaly"), a predicate ("effusions persist"), or an anatomy
with what changed about it ("heart enlarged"). What a denial commonly bounds ("large", "focal") makes no statement.
"""

from __future__ import annotations

from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item

_COMMA, _AND, _OR, _WITH = int(Kind.COMMA), int(Kind.AND), int(Kind.OR), int(Kind.WITH)
_OPEN, _BREAK, _LINK = int(Kind.OPEN), int(Kind.BREAK), int(Kind.LINK)
LIST = _COMMA | _AND | _WITH | _OPEN
_END = _COMMA | _AND | _WITH | _OPEN | _BREAK
_FINDING, _ANATOMY, _CHANGE, _BOUNDING = (
    int(Kind.FINDING), int(Kind.ANATOMY), int(Kind.CHANGE), int(Kind.BOUNDING)
)  # fmt: skip
_STATING = int(Kind.STATING)
_COMPARED, _VERB, _PERCEIVED = int(Kind.COMPARED), int(Kind.VERB), int(Kind.PERCEIVED)
_DETERMINER, _EXISTENTIAL = int(Kind.THE), int(Kind.EXISTENTIAL)
_AUXILIARY = frozenset(
    {"is", "are", "was", "were", "be", "been", "has", "have", "had", "present", "appear", "appears"}
)
_DEFINITE = frozenset({"the", "this", "these", "that", "those", "his", "her"})


def states_anew(items: list[Item], clauses: list[int], join: int, words: list[str], *, doubted: bool) -> bool:
    """Whether the list entry after the item `join` is a statement of its own.

    Of a list that is `doubted` rather than denied, entries are as described as of any other: only what is plainly
    stated ends it. An "or" further on closes a denied list ("no effusion, small pneumothorax or mass") unless the
    entry says by a determiner, a comparison or a predicate that it is there.
    """
    if join + 1 < len(items) and items[join + 1].kinds & _OR:
        return False
    last = _end_of_entry(items, clauses, join)
    weak, strong = _evidence(items, join + 1, last, words)
    if strong or not weak or doubted:
        return strong
    return not any(items[i].kinds & _OR for i in _rest(items, clauses, join))


def _rest(items: list[Item], clauses: list[int], join: int) -> range:
    last = join + 1
    while last < len(items) and clauses[last] == clauses[join]:
        last += 1
    return range(join + 1, last)


def _end_of_entry(items: list[Item], clauses: list[int], join: int) -> int:
    """The index behind the entry: the next list mark after its noun, the end of the clause, or of the sentence."""
    noun = False
    for i in _rest(items, clauses, join):
        kinds = items[i].kinds
        if kinds & _BREAK and not kinds & _LINK:
            return i
        if noun and kinds & _END:
            return i
        noun = noun or bool(kinds & (_FINDING | _ANATOMY))
    return _rest(items, clauses, join).stop


def _evidence(items: list[Item], first: int, last: int, words: list[str]) -> tuple[bool, bool]:
    """Weak and strong evidence that the entry of items `first` to `last` (exclusive) states something."""
    weak = strong = noun = verb = False
    sided = sized = False
    for i in range(first, last):
        item = items[i]
        kinds = item.kinds
        if kinds & _STATING or (kinds & _COMPARED and item.term.compared != "new"):
            strong = True
        elif kinds & _COMPARED:
            pass  # "no effusion, new consolidation or pneumothorax"
        elif (kinds & _DETERMINER and not noun and words[item.start] in _DEFINITE) or kinds & _EXISTENTIAL:
            strong = True
        elif kinds & _VERB:
            verb = noun
            strong = strong or (noun and not kinds & _PERCEIVED and words[item.start] not in _AUXILIARY)
        elif kinds & DESCRIPTOR and not kinds & _FINDING and not (kinds & _BOUNDING):
            strong = strong or verb
            sided = sided or any(d in ("left", "right") for d in item.term.directions)
            sized = sized or bool(item.term.adjectives)
        elif kinds & _CHANGE and i > first and items[i - 1].kinds & _ANATOMY:
            strong = strong or words[item.end - 1].endswith("ed")
        noun = noun or bool(kinds & _FINDING)
    weak = sided or sized
    return weak, strong or (sided and sized)
