"""From a case note to what it says about the radiograph: history and other examinations left out by rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import Pattern
from typing import Any

from medtrim.types.yamlfile import load_yaml

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])|\n+")
_DOTS = re.compile(r"\s*\.(?:\s*\.)+\s*")


@dataclass(frozen=True)
class NoteRules:
    """The rules of `note_rules.yaml`, compiled."""

    heading: Pattern[str]
    dropped: frozenset[str]
    other: Pattern[str]
    radiograph: Pattern[str]
    history: Pattern[str]

    def clean(self, note: str) -> str:
        """The sentences that are about the radiograph, joined by spaces; empty where there is none.

        1. Parts under a heading such as `Presentation:` or `Discussion:` go; those under `Imaging notes:` stay.
        2. A sentence that names another examination (CT, MRI, ultrasound …) goes.
        3. A sentence that names the radiograph stays.
        4. Of the others, one that tells of history, symptoms, laboratory, treatment or outcome goes.
        """
        note = _DOTS.sub(". ", note)
        kept = [s for part in self._parts(note) for s in _sentences(part) if self._about_radiograph(s)]
        return " ".join(kept)

    def _parts(self, note: str) -> list[str]:
        start, parts, keep = 0, [], True
        for found in self.heading.finditer(note):
            parts += [note[start : found.start()]] if keep else []
            start, keep = found.end(), found["name"].lower() not in self.dropped
        return [*parts, note[start:]] if keep else parts

    def _about_radiograph(self, sentence: str) -> bool:
        if self.other.search(sentence):
            return False
        return bool(self.radiograph.search(sentence)) or not self.history.search(sentence)


@cache
def note_rules() -> NoteRules:
    """The rules of `note_rules.yaml`."""
    text = Path(__file__).parent.joinpath("note_rules.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = load_yaml(text, source="note_rules.yaml")
    headings = values["headings"]
    names = sorted((*headings["keep"], *headings["drop"]), key=len, reverse=True)
    spelled = "|".join(re.escape(name) for name in names)
    return NoteRules(
        heading=re.compile(rf"(?<![\w-])(?P<name>{spelled})\s*:\s*", re.IGNORECASE),
        dropped=frozenset(headings["drop"]),
        other=_any_of(values["other_examinations"]),
        radiograph=_any_of(values["radiograph"]),
        history=_any_of(values["history"]),
    )


def _any_of(patterns: list[str]) -> Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE)


def _sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE_END.split(text) if s and re.search(r"\w", s)]
