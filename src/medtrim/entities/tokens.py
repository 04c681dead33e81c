"""Sentences and tokens, with character offsets. Both are linear in the text, whatever the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A de-identification mark is one token: `[**Name**]`, `___`, `XXXX` (the last is caught by MASK_WORD).
_TOKEN = re.compile(r"\[\*\*[^\[\]]{0,120}\*\*\]|_{3,}|[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]|_")
_MASK_WORD = re.compile(r"x{3,}\Z", re.IGNORECASE)

# A sentence ends at . ! ? before white space (or glued to a capital, a frequent slip), at a blank line, and at a
# line that begins a list entry or a heading. A single line break is white space: reports wrap their lines.
# Every alternative begins with one of four characters, so that the search skips to them.
_BOUNDARY = re.compile(
    r"[.!?]\s+"
    r"|\.(?<=[a-z\])]\.)(?=[A-Z][a-z ])"
    r"|\n(?:[ \t\r]*\n\s*|[ \t\r]*(?=(?:\d{1,2}[.)]|[-*•])\s|[A-Z][A-Za-z ,/]{0,40}:))"
)
_ABBREVIATION = re.compile(r"\b(?:vs|dr|mr|mrs|approx|e\.g|i\.e|eg|ie|cf)\.\Z", re.IGNORECASE)
# The last letters of those abbreviations: a look at two characters spares most sentences the search.
_ABBREVIATION_ENDS = frozenset(
    a + b for a, b in ("vs", "VS", "dr", "DR", "Dr", "mr", "Mr", "rs", "ox", ".g", ".e", "eg", "ie", "cf")
)
_LIST_MARK = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•])?\s*\Z")

# No sentence is read as longer than this many characters: a megabyte without a full stop stays linear.
MAX_SENTENCE = 1500


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open character range."""

    start: int
    end: int


@dataclass(slots=True)
class Tokens:
    """The tokens of one sentence: lower-cased words and their offsets.

    De-identification marks are the empty word: nothing matches them and they part nothing.
    """

    words: list[str]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.words)


def tokenize(text: str) -> Tokens:
    """Words, numbers and punctuation of `text`; hyphens inside words are dropped, "air-space" is two words."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        start, end = match.span()
        first = word[0]
        if first == "-" or first == "‐" or first == "–":
            if start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum():
                continue
        elif first == "’":
            word = "'"
        elif len(word) > 2 and (first in "[_" or (first in "xX" and _MASK_WORD.match(word))):
            word = ""
        words.append(word.lower())
        starts.append(start)
        ends.append(end)
    return Tokens(words, starts, ends)


def sentence_bounds(text: str) -> list[tuple[int, int]]:
    """`split_sentences` as bare (start, end) pairs, for the inner loop over a corpus."""
    bounds: list[tuple[int, int]] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        cut, end = match.span()
        if text[cut] != "\n":
            cut += 1
            if text[cut - 3 : cut - 1] in _ABBREVIATION_ENDS and _ABBREVIATION.search(text, max(0, cut - 8), cut):
                continue
        _append(bounds, text, start, cut)
        start = end
    _append(bounds, text, start, len(text))
    return bounds


def split_sentences(text: str) -> list[Span]:
    """The sentences of a section, in order, trimmed of white space.

    List marks ("1.", "-") are no part of a sentence, so that the same sentence reads the same in any list.
    """
    return [Span(start, end) for start, end in sentence_bounds(text)]


def _append(bounds: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    if start >= end:
        return
    if text[start].isspace() or text[end - 1].isspace():
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
    while end - start > MAX_SENTENCE:
        cut = text.rfind(" ", start + 1, start + MAX_SENTENCE)
        cut = cut if cut > start else start + MAX_SENTENCE
        bounds.append((start, cut))
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end - start > 3 or (end > start and not _LIST_MARK.match(text, start, end)):
        bounds.append((start, end))
