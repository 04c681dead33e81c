"""Sentences and tokens, with character offsets. Both are linear in the text, whatever the text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# A de-identification mark is one token: `[**Name**]`, `___`, `XXXX` (the last is caught by MASK_WORD). So is a tag
# of HTML and a control word of RTF.
_TOKEN = re.compile(
    r"[^\W\d_]+|\d+(?:[.,]\d+)*|_{3,}|\[\*\*[^\[\]]{0,120}\*\*\]|<[/a-zA-Z][^<>]{0,80}>|\\[a-z]{1,20}-?\d{0,6}|[^\w\s]|_"
)
# Soft hyphens and characters of no width stand inside words without parting them.
_HYPHENS = frozenset("-‐–")
_MARKS = frozenset("[_<\\")
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_WIDE_TOKEN = re.compile(rf"[^\W\d_]+(?:[{_INVISIBLE}]+[^\W\d_]+)+|" + _TOKEN.pattern)
_DROP_INVISIBLE = {ord(c): None for c in _INVISIBLE}
_MASK_WORD = re.compile(r"x{3,}\Z", re.IGNORECASE)

# A sentence ends at . ! ? before white space (or glued to a capital, a frequent slip), at a blank line, at a line
# that begins a list entry or a heading, and at block tags and bullets. Of other line breaks see `_is_wrapped`.
# Every alternative begins with one of a few characters, so that the search skips to them.
_BOUNDARY = re.compile(
    r"[.!?]\s+"
    r"|\.(?<=[a-z\])]\.)(?=[A-Z][a-z ])"
    r"|\n(?:[ \t\r]*\n\s*|[ \t\r]*(?=(?:\d{1,2}[.)]|[-*•])\s|[A-Z][A-Za-z ,/]{0,40}:|(?P<line>[A-Z][A-Za-z])))"
    r"|<(?:br|/?p|/?li|/?ul|/?ol|/?div|/?tr|/?td|/?h[1-6])\b[^<>]{0,80}>"
    r"|\\(?:par|line)\b"
    r"|\*(?<!\*\*)\s+"
)
_WIDE_BOUNDARY = re.compile(_BOUNDARY.pattern + r"|[•▪◦]\s*")  # a set of more than Latin-1 is searched more slowly
_ABBREVIATIONS = ("vs", "dr", "mr", "mrs", "approx", "e.g", "i.e", "eg", "ie", "cf")
# Shortened descriptors: no end of a sentence where a small letter or a lone capital follows ("Mod. R effusion").
_SHORTENED = ("rt", "lt", "mod", "sm", "min", "bilat", "poss", "prob", "neg", "pulm")


def _abbreviation(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\.\Z", re.IGNORECASE)


_IS_ABBREVIATION, _IS_SHORTENED = _abbreviation(_ABBREVIATIONS), _abbreviation(_SHORTENED)
_GOES_ON = re.compile(r"[a-z]|[A-Z]\b")
# The last letters of those words: a look at two characters spares most sentences the search.
_ABBREVIATION_ENDS = frozenset(
    form for word in (*_ABBREVIATIONS, *_SHORTENED) for form in (word[-2:], word[-2:].upper(), word[-2:].title())
)
# A line that ends so goes on in the next.
_UNFINISHED = re.compile(
    r"(?:[,;:/(–-]|(?<![:–-] )\b(?:a|an|the|of|in|on|at|with|without|and|or|to|for|from|by|is|are|was|were|be|has"
    r"|have|no|not|nor|than|as|that|which|this|these|left|right|via|per|see|dr|mr|mrs|ms)\.?)\s*\Z",
    re.IGNORECASE,
)
# Reports wrap their lines at 60 characters or more; a shorter line in capitals was ended by its writer.
SHORT_LINE = 45
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
    plain = text.isascii()
    for match in (_TOKEN if plain else _WIDE_TOKEN).finditer(text):
        word = match.group()
        start, end = match.span()
        if end - start > 1:
            first = word[0]
            if first in "xX":
                if _MASK_WORD.match(word):
                    word = ""
            elif first in _MARKS:
                word = ""
            elif not plain and not word.isascii():
                word = unicodedata.normalize("NFKC", word.translate(_DROP_INVISIBLE))
        elif word in _HYPHENS:
            if start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum():
                continue
        elif word in "LR":
            if _stands_alone(text, start, end):
                word = "left" if word == "L" else "right"
        elif word == "’":
            word = "'"
        words.append(word.lower())
        starts.append(start)
        ends.append(end)
    return Tokens(words, starts, ends)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether the letter there is an abbreviation of its own: not of "R/o", "B/L" or "L1"."""
    around = text[start - 1 : start] + text[end : end + 1]
    return "/" not in around and not around.isdigit() and not text[end : end + 1].isdigit()


def sentence_bounds(text: str) -> list[tuple[int, int]]:
    """`split_sentences` as bare (start, end) pairs, for the inner loop over a corpus."""
    bounds: list[tuple[int, int]] = []
    start = 0
    for match in (_BOUNDARY if text.isascii() else _WIDE_BOUNDARY).finditer(text):
        cut, end = match.span()
        if text[cut] in ".!?":
            cut += 1
            if text[cut - 3 : cut - 1] in _ABBREVIATION_ENDS and _is_abbreviated(text, cut, end):
                continue
        elif match.lastgroup is not None and _is_wrapped(text, cut, end):
            continue
        _append(bounds, text, start, cut)
        start = end
    _append(bounds, text, start, len(text))
    return bounds


def _is_abbreviated(text: str, stop: int, following: int) -> bool:
    """Whether the full stop before `stop` ends an abbreviation and no sentence."""
    first = max(0, stop - 8)
    if _IS_ABBREVIATION.search(text, first, stop):
        return True
    return bool(_IS_SHORTENED.search(text, first, stop) and _GOES_ON.match(text, following))


def _is_wrapped(text: str, cut: int, following: int) -> bool:
    """Whether the line break at `cut` only wraps a line: the next one, from `following`, goes on with its sentence.

    A line that begins with a capital begins a statement, unless the line before is plainly unfinished. Of text in
    capitals only the length of a line tells.
    """
    line = text.rfind("\n", max(0, cut - SHORT_LINE), cut)
    if _UNFINISHED.search(text, max(0, cut - 12), cut):
        return True
    if text[following + 1].islower():
        return False
    return (line < 0 and cut >= SHORT_LINE) or text[following : following + 3].lower() == "xxx"


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
