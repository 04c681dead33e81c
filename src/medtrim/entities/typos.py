"""Misspelled finding words: one edit away from exactly one long word of the ontology."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MIN_LENGTH = 8


class TypoIndex:
    """Words of at least eight letters under their one-letter deletions (symmetric delete).

    A report's word is corrected when it begins with the same letter and is one insertion, deletion, substitution
    or transposition away from exactly one indexed word. Shorter words have too many honest neighbours.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted({word for word in words if len(word) >= MIN_LENGTH and word.isalpha()})
        self._deletions: dict[str, list[str]] = {}
        for word in self._words:
            for variant in _variants(word):
                self._deletions.setdefault(variant, []).append(word)
        self._known = frozenset(self._words)

    def correct(self, word: str) -> str | None:
        """The one word that `word` misspells, or None."""
        if word in self._known or not MIN_LENGTH - 1 <= len(word) <= 32 or not word.isalpha():
            return None
        found = {
            candidate
            for variant in _variants(word)
            for candidate in self._deletions.get(variant, ())
            if candidate[0] == word[0] and one_edit(word, candidate)
        }
        return found.pop() if len(found) == 1 else None


def _variants(word: str) -> Iterator[str]:
    yield word
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]


def one_edit(a: str, b: str) -> bool:
    """Whether one insertion, deletion, substitution or transposition of neighbours makes `a` into `b`."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    i = 0
    while i < min(len(a), len(b)) and a[i] == b[i]:
        i += 1
    if len(a) == len(b):
        return a[i + 1 :] == b[i + 1 :] or (a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :])
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[i + 1 :] == shorter[i:]
