"""Plural and verb forms of English terms, by rule."""

from __future__ import annotations


def plurals(word: str) -> tuple[str, ...]:
    """The plural forms that a report may use of `word`; none for a word that is no noun stem (`word*`)."""
    if len(word) < 3 or not word.isalpha():
        return ()
    if word.endswith("sis"):
        return (word[:-2] + "es",)
    if word.endswith("thorax"):
        return (word[:-1] + "ces", word + "es")
    if word.endswith(("apex", "index")):
        return (word[:-2] + "ices", word + "es")
    if word.endswith("ium") or word == "septum":
        return (word[:-2] + "a", word + "s")
    if word.endswith("y") and word[-2] not in "aeiou":
        return (word[:-1] + "ies",)
    if word.endswith(("s", "x", "ch", "sh", "z")):
        return (word + "es",)
    if word.endswith("us"):
        return (word[:-2] + "i",)
    return (word + "s",)


def forms(term: str, *, noun: bool) -> tuple[str, ...]:
    """`term` and, for a noun phrase, the phrase with its last word in the plural."""
    if not noun or term.endswith("*"):
        return (term,)
    *head, last = term.split(" ")
    return (term, *(" ".join([*head, plural]) for plural in plurals(last)))
