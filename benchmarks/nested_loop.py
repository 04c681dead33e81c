"""The plain reference of the recogniser: the same rules, matched by nested loops, every sentence read anew.

For every word of every sentence and every term of the ontology it compares word by word. Nothing is indexed,
nothing remembered. It defines what the fast path must equal, and what it is measured against.
"""

from __future__ import annotations

from medtrim.entities import reader as reading
from medtrim.entities.lexicon import Lexicon
from medtrim.entities.matcher import Item
from medtrim.entities.ontology import Ontology
from medtrim.entities.recognizer import Recognizer
from medtrim.entities.tokens import Tokens


def nested_loop_matches(tokens: Tokens, lexicon: Lexicon) -> list[Item]:
    """Every phrase of the lexicon in the sentence, by start and then length."""
    keys = [lexicon.keys(word) for word in tokens.words]
    found: list[Item] = []
    for start in range(len(keys)):
        here: list[Item] = []
        for words, term in lexicon.terms.items():
            at = start
            for number, word in enumerate(words):
                while number and at < len(keys) and not tokens.words[at]:
                    at += 1  # a de-identification mark inside a phrase is passed over
                if at >= len(keys) or word not in keys[at]:
                    break
                at += 1
            else:
                here.append(Item(term.kinds, start, at, term))
        found.extend(sorted(here, key=lambda item: item.end))
    return found


class NestedLoopRecognizer(Recognizer):
    """A recogniser that matches by nested loops and keeps no sentence."""

    def __init__(self, ontology: Ontology | None = None) -> None:
        super().__init__(ontology)

    def _reading(self, sentence: str) -> reading.SentenceReading:
        fast = reading.find_matches
        reading.find_matches = nested_loop_matches
        try:
            return self.reader.read(sentence)
        finally:
            reading.find_matches = fast
