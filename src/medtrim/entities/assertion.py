"""Assertion: is a finding stated, doubted or denied, and which words say so.

Rules in the tradition of NegEx (Chapman et al. 2001) and ConText (Harkema et al. 2009): cues before and after,
their reach ended by clause breaks. Here a reach also ends at a list entry that is plainly stated ("no pneumothorax,
small left effusion"), and phrases that only look like negation ("no change in") are matched as wholes.
"""

from __future__ import annotations

from dataclasses import dataclass

from medtrim.entities.clauses import clause_ids
from medtrim.entities.compose import compose
from medtrim.entities.lexicon import Kind, Lexicon, Term
from medtrim.entities.matcher import Item, find_matches, resolve_overlaps
from medtrim.entities.reach import ASSERTION_OF, CUES, STATED, Reason, Verdict, reach_backward, reach_forward
from medtrim.entities.tokens import tokenize
from medtrim.types import Assertion

_FINDING = int(Kind.FINDING)


def judge(items: list[Item], clauses: list[int], heads: list[int], words: list[str]) -> dict[int, Verdict]:
    """A verdict for each item index in `heads` (ascending); `words` are the words of the sentence."""
    verdicts = dict.fromkeys(heads, STATED)
    present = False
    for item in items:
        if item.kinds & CUES:
            present = True
            break
    if present:
        reach_forward(items, clauses, words, verdicts)
        reach_backward(items, clauses, words, verdicts)
    return verdicts


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
    items = compose(items, tokens)
    at = items.index(concept)
    heads = [k for k, item in enumerate(items) if item is concept or item.kinds & _FINDING]
    verdict = judge(items, clause_ids(items), heads, tokens.words)[at]
    cue = None if verdict.cue is None else items[verdict.cue]
    return SpanAssertion(
        ASSERTION_OF[verdict.reason],
        verdict.reason,
        None if cue is None else tokens.starts[cue.start],
        None if cue is None else tokens.ends[cue.end - 1],
    )
