"""Noun phrases and sentences of the phantom reports; the words themselves are in phrases.yaml."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from medtrim.data.phantom.case import WALL, Lesion, lesion_radius
from medtrim.types.yamlfile import load_yaml


@lru_cache(maxsize=1)
def phrases() -> dict[str, Any]:
    """The wording tables."""
    source = files("medtrim.data.phantom").joinpath("phrases.yaml")
    tables: dict[str, Any] = load_yaml(source.read_text(encoding="utf-8"), source="phrases.yaml")
    return tables


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A finding with its descriptors: "small left pleural effusion"; no article for plurals and mass nouns."""

    text: str
    many: bool
    article: str


def noun_phrase(lesion: Lesion, lots: random.Random, *, adjectives: bool = True) -> NounPhrase:
    """`lesion` in words, its place before or behind the noun."""
    head, many, mass = _head(lesion, lots)
    adjective = _adjectives(lesion, lots) if adjectives else ""
    place = phrases()["places"].get(" ".join((*lesion.sides, lesion.zone)).strip())
    if place is None:
        text = f"{adjective} {head}"
    elif lots.random() < 0.68:
        text = f"{adjective} {lots.choice(place['pre'])} {head}"
    else:
        text = f"{adjective} {head} {lots.choice(place['post'])}"
    text = " ".join(text.split())
    if _measurable(lesion) and lots.random() < 0.3:
        text = f"{text} measuring {diameter_cm(lesion):.1f} cm"
    article = (
        "" if many or mass else ("an" if text[0].lower() in "aeiou" or text[:3] in ("RUL", "RLL", "LLL") else "a")
    )
    return NounPhrase(text, many, article)


def _measurable(lesion: Lesion) -> bool:
    return lesion.disease == "lung lesion" and "multiple" not in lesion.patterns


def diameter_cm(lesion: Lesion) -> float:
    """The drawn diameter, the inner thorax taken as 26 cm wide."""
    return 2.0 * lesion_radius(lesion) * 13.0 / WALL


def unequal_sides(first: Lesion, second: Lesion, lots: random.Random) -> NounPhrase:
    """Two lesions of one disease as one phrase: "small left and moderate right pleural effusions"."""
    head = lots.choice(phrases()["heads"][first.disease]["many"])
    ours, theirs = (f"{_adjectives(x, lots)} {x.sides[0]}" for x in (first, second))
    return NounPhrase(f"{ours} and {theirs} {head}", True, "")


def _head(lesion: Lesion, lots: random.Random) -> tuple[str, bool, bool]:
    name = "mass" if lesion.disease == "lung lesion" and lesion.severity == "large" else lesion.disease
    entry = phrases()["heads"][name]
    many = "many" in entry and ("multiple" in lesion.patterns or len(lesion.sides) == 2)
    return lots.choice(entry["many" if many else "one"]), many, bool(entry.get("mass", False))


def _adjectives(lesion: Lesion, lots: random.Random) -> str:
    """Severity and patterns in either order, but number first."""
    words = phrases()["adjectives"]
    said = [lots.choice(words[p]) for p in lesion.patterns if p != "multiple"]
    if lesion.severity:
        word = lots.choice(words[lesion.severity])
        if word == "tiny" and lesion.disease != "lung lesion" and lots.random() < 0.5:
            word = "trace"
        said.insert(0 if lots.random() < 0.85 else len(said), word)
    if "multiple" in lesion.patterns:
        said.insert(0, lots.choice(words["multiple"]))
    return " ".join(said)


def sentence(frame: str, phrase: NounPhrase, *, second: NounPhrase | None = None, denied: str = "") -> str:
    """`frame` with the phrase put in, its first letter a capital."""
    text = frame.format(
        np=phrase.text,
        Np=capital(phrase.text),
        a=phrase.article,
        A=phrase.article,
        neg=denied,
        np2=f"{second.article} {second.text}".strip() if second else "",
    )
    return capital(re.sub(r" {2,}", " ", text.strip()))


def capital(text: str) -> str:
    """`text` with its first letter a capital."""
    text = text.strip()
    return text[:1].upper() + text[1:]


def join(words: list[str], last: str) -> str:
    """ "a", "a or b", "a, b, or c"."""
    if len(words) < 3:
        return f" {last} ".join(words)
    return ", ".join(words[:-1]) + f", {last} {words[-1]}"
