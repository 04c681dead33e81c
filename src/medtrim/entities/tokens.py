"""Sentences and tokens, with character offsets. Both are linear in the text, whatever the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A de-identification mark is one token: `[**Name**]`, `___`, `XXXX` (the last is caught by MASK_WORD).
_TOKEN = re.compile(r"\[\*\*[^\[\]]{0,120}\*\*\]|_{3,}|[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]|_")
_MASK_WORD = re.compile(r"x{3,}\Z", re.IGNORECASE)

# A sentence ends at . ! ? before white space (or glued to a capital, a frequent slip), at a blank line, and at a
# line that begins a list entry or a heading. A single line break is white space: reports wrap their lines.
_BOUNDARY = re.compile(
    r"(?<=[.!?])\s+"
    r"|(?<=[a-z\])][.])(?=[A-Z][a-z ])"
    r"|[ \t\r]*\n[ \t\r]*\n\s*"
    r"|\s*\n\s*(?=(?:\d{1,2}[.)]|[-*•])\s|[A-Z][A-Za-z ,/]{0,40}:)"
)
_ABBREVIATION = re.compile(r"\b(?:vs|dr|mr|mrs|approx|e\.g|i\.e|eg|ie|cf)\.\Z", re.IGNORECASE)
_LIST_MARK = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•])?\s*\Z")

# No sentence is read as longer than this many characters: a megabyte without a full stop stays linear.
MAX_SENTENCE = 3000


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


def split_sentences(text: str) -> list[Span]:
    """The sentences of a section, in order, trimmed of white space.

    List marks ("1.", "-") are no part of a sentence, so that the same sentence reads the same in any list.
    """
    spans: list[Span] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        cut = match.start()
        if cut > 0 and text[cut - 1] == "." and _is_abbreviation(text, cut):
            continue
        _append(spans, text, start, cut)
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _is_abbreviation(text: str, cut: int) -> bool:
    """Whether the full stop before `cut` ends an abbreviation ("vs.") and not a sentence."""
    return _ABBREVIATION.search(text, max(0, cut - 8), cut) is not None


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MAX_SENTENCE:
        cut = text.rfind(" ", start + 1, start + MAX_SENTENCE)
        cut = cut if cut > start else start + MAX_SENTENCE
        spans.append(Span(start, cut))
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end > start and not (end - start < 4 and _LIST_MARK.match(text, start, end)):
        spans.append(Span(start, end))
