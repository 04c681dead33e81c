"""Noun phrases and sentences of the phantom reports; the words themselves are in each world's phrases file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medtrim.data.phantom.case import WALL, Lesion, lesion_radius
from medtrim.data.phantom.world import Lots

LOBES = ("LLL", "LUL", "RLL", "RML", "RUL")


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A finding with its descriptors: "small left pleural effusion"; no article for plurals and mass nouns."""

    text: str
    many: bool
    article: str


def noun_phrase(lesion: Lesion, lots: Lots, *, adjectives: bool = True) -> NounPhrase:
    """`lesion` in words, its place before or behind the noun."""
    head, many, mass = _head(lesion, lots)
    adjective = _adjectives(lesion, lots) if adjectives else ""
    place = lots.world.words["places"].get(" ".join((*lesion.sides, lesion.zone)).strip())
    if place is None:
        text = f"{adjective} {head}"
    elif lots.random() < lots.world.place_first:
        text = f"{adjective} {lots.choice(place['pre'])} {head}"
    else:
        text = f"{adjective} {head} {lots.choice(place['post'])}"
    text = " ".join(text.split())
    if _measurable(lesion) and lots.random() < lots.world.measured:
        text = f"{text} measuring {diameter_cm(lesion):.1f} cm"
    article = "" if many or mass else ("an" if text[0].lower() in "aeiou" or text[:3] in LOBES else "a")
    return NounPhrase(text, many, article)


def _measurable(lesion: Lesion) -> bool:
    return lesion.disease == "lung lesion" and "multiple" not in lesion.patterns


def diameter_cm(lesion: Lesion) -> float:
    """The drawn diameter, the inner thorax taken as 26 cm wide."""
    return 2.0 * lesion_radius(lesion) * 13.0 / WALL


def unequal_sides(first: Lesion, second: Lesion, lots: Lots) -> NounPhrase:
    """Two lesions of one disease as one phrase: "small left and moderate right pleural effusions"."""
    head = lots.choice(lots.world.words["heads"][first.disease]["many"])
    ours, theirs = (f"{_adjectives(x, lots)} {x.sides[0]}" for x in (first, second))
    return NounPhrase(f"{ours} and {theirs} {head}", True, "")


def _head(lesion: Lesion, lots: Lots) -> tuple[str, bool, bool]:
    name = "mass" if lesion.disease == "lung lesion" and lesion.severity == "large" else lesion.disease
    entry = lots.world.words["heads"][name]
    many = "many" in entry and ("multiple" in lesion.patterns or len(lesion.sides) == 2)
    return lots.choice(entry["many" if many else "one"]), many, bool(entry.get("mass", False))


def _adjectives(lesion: Lesion, lots: Lots) -> str:
    """Severity and patterns in either order, but number first."""
    words = lots.world.words["adjectives"]
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
