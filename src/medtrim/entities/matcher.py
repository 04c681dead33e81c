"""Match, then resolve overlaps: every phrase of the lexicon in a sentence, none of them overlapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medtrim.entities.lexicon import Lexicon, Term
from medtrim.entities.tokens import Tokens


@dataclass(slots=True)
class Item:
    """A matched phrase: what it can be (`kinds`, bits of `Kind`) and the half-open range of its tokens."""

    kinds: int
    start: int
    end: int
    term: Term


def find_matches(tokens: Tokens, lexicon: Lexicon) -> list[Item]:
    """Every phrase of the lexicon in the sentence, overlapping ones included, by start and then length.

    A de-identification mark inside a phrase is passed over; no phrase begins or ends with one.
    """
    found: list[Item] = []
    keys = lexicon.keys
    key_lists = [keys(word) for word in tokens.words]
    trie: dict[str, Any] = lexicon.trie
    count = len(key_lists)
    words = tokens.words
    for start, first in enumerate(key_lists):
        if not first:
            continue
        if len(first) == 1:  # nearly every word: no lists of nodes
            node = trie.get(first[0])
            if node is None:
                continue
            nodes = [node]
        else:
            nodes = [trie[key] for key in first if key in trie]
        end = start + 1
        while nodes:
            inner = False
            for node in nodes:
                term = node.get("")
                if term is not None:
                    found.append(Item(term.kinds, start, end, term))
                    inner = inner or len(node) > 1
                else:
                    inner = True
            if not inner:
                break
            while end < count and not words[end]:
                end += 1
            if end == count:
                break
            nodes = [node[key] for node in nodes for key in key_lists[end] if key in node]
            end += 1
    return found


def resolve_overlaps(matches: list[Item]) -> list[Item]:
    """Longest first, then leftmost, then in the order found; what remains does not overlap, by position.

    The order is total, so the result does not depend on how the matches were listed.
    """
    last_end = -1
    for item in matches:
        if item.start < last_end:
            break
        last_end = item.end
    else:
        return matches
    taken: set[int] = set()
    kept: list[Item] = []
    for item in sorted(matches, key=lambda m: (m.start - m.end, m.start)):
        span = range(item.start, item.end)
        if taken.isdisjoint(span):
            taken.update(span)
            kept.append(item)
    kept.sort(key=lambda m: m.start)
    return kept
