"""Measured sizes: "2.3 cm nodule", "nodule measuring 8 x 12 mm". The largest extent counts, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.entities.heads import Head
from medtrim.entities.lexicon import DESCRIPTOR, Kind
from medtrim.entities.matcher import Item
from medtrim.entities.tokens import Tokens

_MILLIMETRES = {
    "mm": 1.0,
    "cm": 10.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "centimeter": 10.0,
    "centimeters": 10.0,
}
_TIMES = frozenset({"x", "×", "by", "and", "to", "-"})
# "2 cm above the carina", "withdrawn by 3 cm": a distance, no size.
_DISTANCE_AFTER = frozenset(
    {"above", "below", "from", "beyond", "past", "proximal", "distal", "superior", "inferior", "over"}
)
_DISTANCE_BEFORE = frozenset({"by", "within", "about", "advance", "withdraw"})
_PASSED = DESCRIPTOR | int(Kind.PARTITIVE | Kind.OPEN | Kind.COMPARED | Kind.ANATOMY | Kind.STATING | Kind.NON)
_COMMA = int(Kind.COMMA)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured extent: the half-open range of its tokens and its largest number in millimetres."""

    start: int
    end: int
    millimetres: float


def find_measures(tokens: Tokens) -> list[Measure]:
    """The sizes that a sentence gives, in order; distances are left out."""
    words = tokens.words
    found: list[Measure] = []
    for k, word in enumerate(words):
        if word not in _MILLIMETRES or k == 0 or not words[k - 1][:1].isdigit():
            continue
        first, numbers = k - 1, [_number(words[k - 1])]
        while first >= 2 and words[first - 1] in _TIMES and words[first - 2][:1].isdigit():
            first -= 2
            numbers.append(_number(words[first]))
        size = max(numbers) * _MILLIMETRES[word]
        joined = found and found[-1].end == first - 1 and words[first - 1] in _TIMES
        if joined:
            last = found.pop()
            first, size = last.start, max(size, last.millimetres)
        found.append(Measure(first, k + 1, size))
    return [m for m in found if not _is_distance(words, m)]


def sizes_of(measures: list[Measure], items: list[Item], clauses: list[int], heads: list[Head]) -> dict[int, float]:
    """Head number → size in millimetres: of the noun phrase that a measure opens, else of the finding before it."""
    found: dict[int, float] = {}
    for measure in measures:
        number = _head_of(measure, items, clauses, heads)
        if number is not None:
            found[number] = max(found.get(number, 0.0), measure.millimetres)
    return found


def _head_of(measure: Measure, items: list[Item], clauses: list[int], heads: list[Head]) -> int | None:
    at = {head.index: number for number, head in enumerate(heads) if head.concept.category != "device"}
    after = next((i for i, item in enumerate(items) if item.start >= measure.end), len(items))
    for i in range(after, len(items)):
        if i in at:
            return at[i]
        if not items[i].kinds & (_PASSED | _COMMA) or (items[i].kinds & _COMMA and i == after):
            break
    for i in range(after - 1, -1, -1):
        if after - 1 < len(items) and clauses[i] != clauses[after - 1]:
            break
        if i in at:
            return at[i]
    return None


def _is_distance(words: list[str], measure: Measure) -> bool:
    after = words[measure.end] if measure.end < len(words) else ""
    before = words[measure.start - 1] if measure.start else ""
    return after in _DISTANCE_AFTER or before in _DISTANCE_BEFORE


def _number(word: str) -> float:
    whole, _, rest = word.replace(",", ".").partition(".")
    return float(f"{whole}.{rest.replace('.', '') or 0}")
