"""Clauses of a sentence: how far a cue or a descriptor can reach."""

from __future__ import annotations

from medtrim.entities.lexicon import Kind
from medtrim.entities.matcher import Item

_HARD = int(Kind.BREAK)
_LINK = int(Kind.LINK)
_EXISTENTIAL = int(Kind.EXISTENTIAL)
_JOIN = int(Kind.COMMA | Kind.AND)
_SUBJECT = int(Kind.THE | Kind.PRONOUN | Kind.NEGATION | Kind.ANATOMY | Kind.DIRECTION)
_VERB = int(Kind.VERB)
_CONTENT = int(Kind.FINDING | Kind.ANATOMY | Kind.CHANGE)


def clause_ids(items: list[Item]) -> list[int]:
    """The clause number of every item.

    A clause ends at a semicolon or a word such as "but", before "there is" once something has been said, and at a
    comma or "and" that joins two subjects with a verb each ("the heart is enlarged and the lungs are clear").
    """
    ids: list[int] = []
    clause = 0
    said = verb = False
    for index, item in enumerate(items):
        kinds = item.kinds
        starts = bool(kinds & _HARD) and not kinds & _LINK
        starts = starts or (said and bool(kinds & _EXISTENTIAL))
        starts = starts or (verb and bool(kinds & _JOIN) and _new_subject(items, index))
        if starts:
            clause += 1
            said = verb = False
        ids.append(clause)
        said = said or bool(kinds & _CONTENT)
        verb = verb or bool(kinds & (_VERB | _EXISTENTIAL))
    return ids


def _new_subject(items: list[Item], join: int) -> bool:
    """Whether a subject with its own verb follows the comma or "and" at `join`."""
    if join + 1 >= len(items) or not items[join + 1].kinds & (_SUBJECT | _EXISTENTIAL):
        return False
    for item in items[join + 1 :]:
        kinds = item.kinds
        if kinds & (_VERB | _EXISTENTIAL):
            return True
        if kinds & (_HARD | _JOIN):
            return False
    return False
