"""`write_report`: a case in a radiologist's words, findings and impression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtrim.data.phantom.case import Case, Lesion
from medtrim.data.phantom.normality import (
    LUNG_DISEASES,
    denials,
    incidental,
    normal_bones,
    normal_heart,
    normal_lungs,
)
from medtrim.data.phantom.wording import NounPhrase, capital, noun_phrase, sentence, unequal_sides
from medtrim.data.phantom.world import Lots, load_world, lots_for
from medtrim.types import Sections

# Share of findings that the report leaves out, and of findings that it names without their adjectives.
FINDING_OMITTED, ADJECTIVES_OMITTED = 0.01, 0.01
HEART = ("cardiomegaly", "enlarged cardiomediastinum")
PLEURA = ("pleural effusion", "pneumothorax", "pleural other")


def write_report(case: Case, rng: np.random.Generator) -> Sections:
    """The report of `case`.

    Every drawn finding is said with its side, zone, severity and pattern, hedged where its assertion is uncertain,
    but for the omissions (`FINDING_OMITTED`, `ADJECTIVES_OMITTED`). Normal anatomy and absent diseases are stated
    as well. Of world A one report in ten has an impression only, one in twelve findings only.
    """
    world = load_world(case.world)
    lots = lots_for(world, int(rng.integers(2**63)))
    told = tuple(lesion for lesion in case.lesions if lots.random() >= FINDING_OMITTED)
    unchanged = 1.0 - world.stable - world.new
    trend = lots.choices(("", "stable", "new"), (unchanged, world.stable, world.new))[0]
    writer = _Writer(case, told, lots, trend)
    layout = lots.random()
    if layout < world.impression_only:
        return Sections("", writer.impression(full=True))
    body = writer.findings()
    if layout < world.impression_only + world.findings_only:
        return Sections(body, "")
    return Sections(body, writer.impression(full=False))


@dataclass(frozen=True, slots=True)
class _Writer:
    """One report in the making: what is told, and whether against an earlier film."""

    case: Case
    told: tuple[Lesion, ...]
    lots: Lots
    trend: str

    def findings(self) -> str:
        """The findings section: heart, lungs and pleura, bones, in varying order."""
        case, lots = self.case, self.lots
        heart = self._told(HEART)
        chest = self._told(LUNG_DISEASES + PLEURA)
        bones = self._told(("fracture",))
        affirmed = self._affirm(chest) + self._signs(chest)
        lungs = affirmed + normal_lungs(case, lots)
        lungs += denials(case, lots, said=" ".join(affirmed))
        groups = [
            self._affirm(heart) + self._signs(heart) + normal_heart(case, lots),
            lungs,
            self._affirm(bones) + normal_bones(case, lots),
        ]
        if not any(groups):
            groups[1] = [lots.choice(lots.world.words["impression normal"])]
        if lots.random() < lots.world.lungs_first:
            groups[0], groups[1] = groups[1], groups[0]
        if bones and lots.random() < 0.5:
            groups.insert(0, groups.pop())
        sentences = (
            [lots.choice(lots.world.words["technique"][case.technique.view])]
            if lots.random() < lots.world.technique
            else []
        )
        for group in groups:
            sentences += group
        return " ".join(sentences + incidental(case, lots))

    def impression(self, *, full: bool) -> str:
        """The gist; `full` where it is all there is of the report."""
        lots = self.lots
        if not self.told:
            return str(lots.choice(lots.world.words["impression normal"]))
        sentences = self._affirm(list(self.told), short=not full)
        if full or lots.random() < 0.15:
            sentences += denials(self.case, lots, said=" ".join(sentences))[:1]
        if lots.random() < 0.1:
            sentences.append(lots.choice(lots.world.words["impression tail"]))
        if len(sentences) > 1 and lots.random() < lots.world.numbered:
            return " ".join(f"{i}. {text}" for i, text in enumerate(sentences, start=1))
        return " ".join(sentences)

    def _told(self, diseases: tuple[str, ...]) -> list[Lesion]:
        return [lesion for lesion in self.told if lesion.disease in diseases]

    def _affirm(self, lesions: list[Lesion], *, short: bool = False) -> list[str]:
        """Sentences that state the lesions; now and then two share one."""
        lots, waiting = self.lots, list(lesions)
        lots.shuffle(waiting)
        sentences = []
        while waiting:
            first = waiting.pop()
            twin = next((x for x in waiting if x.disease == first.disease), None)
            if twin is not None and lots.random() < 0.7:
                waiting.remove(twin)
                sentences.append(self._frame(unequal_sides(first, twin, lots), first.assertion))
            elif self._pairs(first, waiting):
                ours, theirs = self._phrase(first, short=short), self._phrase(waiting.pop(), short=short)
                frame = lots.choice(lots.world.words["pairs"][:1] if ours.many else lots.world.words["pairs"])
                sentences.append(sentence(frame, ours, second=theirs))
            else:
                sentences.append(self._state(first, short=short))
        return sentences

    def _pairs(self, first: Lesion, waiting: list[Lesion]) -> bool:
        if not waiting or first.disease == waiting[-1].disease:
            return False
        return first.assertion == waiting[-1].assertion == "present" and self.lots.random() < 0.3

    def _phrase(self, lesion: Lesion, *, short: bool) -> NounPhrase:
        bare = self.lots.random() < (0.25 if short else ADJECTIVES_OMITTED)
        return noun_phrase(lesion, self.lots, adjectives=not bare)

    def _frame(self, phrase: NounPhrase, kind: str) -> str:
        return sentence(self.lots.choice(self.lots.world.words[kind]["many" if phrase.many else "one"]), phrase)

    def _state(self, lesion: Lesion, *, short: bool) -> str:
        """One lesion in a sentence of its own."""
        lots = self.lots
        special = lots.world.words["special"].get(lesion.disease)
        if special and lesion.severity and lots.random() < 0.75:
            frame = lots.choice(special[lesion.assertion])
            word = lots.choice(lots.world.words["adjectives"][lesion.severity])
            adverb = lots.choice(lots.world.words["adverbs"][lesion.severity])
            return capital(frame.format(ly=adverb, adj=word, Adj=capital(word)))
        phrase = self._phrase(lesion, short=short)
        if lesion.assertion == "uncertain":
            return self._frame(phrase, "uncertain")
        absent = [d for d in ("pleural effusion", "pneumothorax") if not self.case.of(d)]
        if absent and lots.random() < 0.10:
            frame = lots.choice(lots.world.words["contrast"]["many" if phrase.many else "one"])
            return sentence(frame, phrase, denied=lots.choice(lots.world.words["negatives"][lots.choice(absent)]))
        if self.trend and lots.random() < 0.5:
            return self._frame(phrase, self.trend)
        return self._frame(phrase, "terse" if short and lots.random() < 0.75 else "present")

    def _signs(self, lesions: list[Lesion]) -> list[str]:
        """Signs that go with what was stated, never its only mention."""
        words, said = self.lots.world.words["signs"], []
        for lesion in lesions:
            key, side = lesion.disease, ""
            if key == "pleural effusion" and lesion.severity == "small" and len(lesion.sides) == 1:
                key, side = "small effusion", lesion.sides[0]
            if key == "pneumothorax" and lesion.zone == "apical":
                key = "apical pneumothorax"
            if key in words and lesion.assertion == "present" and self.lots.random() < 0.18:
                said.append(self.lots.choice(words[key]).format(side=side))
        return said
