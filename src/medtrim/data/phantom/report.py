"""`write_report`: a case in a radiologist's words, findings and impression."""

from __future__ import annotations

import random

import numpy as np

from medtrim.data.phantom.case import Case, Lesion
from medtrim.data.phantom.wording import NounPhrase, capital, join, noun_phrase, phrases, sentence
from medtrim.types import Sections

# Share of findings that the report leaves out, and of findings that it names without their adjectives.
FINDING_OMITTED, ADJECTIVES_OMITTED = 0.01, 0.01
LUNG_DISEASES = ("atelectasis", "consolidation", "edema", "lung lesion", "lung opacity", "pneumonia")
# A report does not deny in general what it affirms in particular.
EXCLUDES = {
    "consolidation": ("pneumonia",),
    "lung opacity": LUNG_DISEASES,
    "pneumonia": ("consolidation", "lung opacity"),
}


def write_report(case: Case, rng: np.random.Generator) -> Sections:
    """The report of `case`.

    Every drawn finding is said with its side, zone, severity and pattern, hedged where its assertion is uncertain,
    but for the omissions (`FINDING_OMITTED`, `ADJECTIVES_OMITTED`). Normal anatomy and absent diseases are stated
    as well.
    """
    lots = random.Random(int(rng.integers(2**63)))
    told = [lesion for lesion in case.lesions if lots.random() >= FINDING_OMITTED]
    layout = lots.random()
    if layout < 0.10:
        return Sections("", _impression(case, told, lots, full=True))
    body = _findings(case, told, lots)
    if layout < 0.18:
        return Sections(body, "")
    return Sections(body, _impression(case, told, lots, full=False))


def _findings(case: Case, told: list[Lesion], lots: random.Random) -> str:
    sentences = [lots.choice(phrases()["technique"][case.technique.view])] if lots.random() < 0.25 else []
    heart = [x for x in told if x.disease in ("cardiomegaly", "enlarged cardiomediastinum")]
    lungs = [x for x in told if x.disease in LUNG_DISEASES]
    pleura = [x for x in told if x.disease in ("pleural effusion", "pneumothorax", "pleural other")]
    bones = [x for x in told if x.disease == "fracture"]
    groups = [
        _affirm(heart, lots) + _normal_heart(case, lots),
        _affirm(lungs + pleura, lots) + _normal_lungs(case, lots) + _negatives(case, lots),
        _affirm(bones, lots) + _normal_bones(case, lots),
    ]
    if lots.random() < 0.4:
        groups[0], groups[1] = groups[1], groups[0]
    if bones and lots.random() < 0.5:
        groups.insert(0, groups.pop())
    for group in groups:
        sentences += group
    sentences += _incidental(case, lots)
    return " ".join(sentences)


def _affirm(lesions: list[Lesion], lots: random.Random, *, short: bool = False) -> list[str]:
    """Sentences that state the lesions; now and then two share one."""
    lesions = list(lesions)
    lots.shuffle(lesions)
    sentences = []
    while lesions:
        first = lesions.pop()
        pair = bool(lesions) and first.assertion == lesions[-1].assertion == "present" and lots.random() < 0.3
        if pair:
            ours, theirs = _phrase(first, lots, short=short), _phrase(lesions.pop(), lots, short=short)
            frame = lots.choice(phrases()["pairs"][:1] if ours.many else phrases()["pairs"])
            sentences.append(sentence(frame, ours, second=theirs))
        else:
            sentences.append(_state(first, lots, short=short))
    return sentences


def _phrase(lesion: Lesion, lots: random.Random, *, short: bool) -> NounPhrase:
    bare = lots.random() < (0.25 if short else ADJECTIVES_OMITTED)
    return noun_phrase(lesion, lots, adjectives=not bare)


def _state(lesion: Lesion, lots: random.Random, *, short: bool) -> str:
    special = phrases()["special"].get(lesion.disease)
    if special and lesion.severity and lots.random() < 0.75:
        frame = lots.choice(special[lesion.assertion])
        word = lots.choice(phrases()["adjectives"][lesion.severity])
        adverb = lots.choice(phrases()["adverbs"][lesion.severity])
        return capital(frame.format(ly=adverb, adj=word, Adj=capital(word)))
    phrase = _phrase(lesion, lots, short=short)
    frames = phrases()[lesion.assertion]["many" if phrase.many else "one"]
    return sentence(lots.choice(frames), phrase)


def _normal_heart(case: Case, lots: random.Random) -> list[str]:
    normal = phrases()["normal"]
    large, wide = bool(case.of("cardiomegaly")), bool(case.of("enlarged cardiomediastinum"))
    if lots.random() < 0.25 or (large and wide):
        return []
    if large:
        return [lots.choice(normal["mediastinum"])]
    if wide:
        return [lots.choice(normal["heart"])]
    if lots.random() < 0.5:
        return [lots.choice(normal["heart and mediastinum"])]
    return [lots.choice(normal["heart"]), lots.choice(normal["mediastinum"])]


def _normal_lungs(case: Case, lots: random.Random) -> list[str]:
    normal = phrases()["normal"]
    diseased = {side for x in case.lesions if x.disease in LUNG_DISEASES for side in (x.sides or ("left", "right"))}
    if lots.random() < 0.35:
        return []
    if not diseased:
        said = [lots.choice(normal["lungs"])]
        return said + ([lots.choice(normal["vessels"])] if lots.random() < 0.3 else [])
    if len(diseased) == 1:
        return [lots.choice(normal["left lung" if "left" in diseased else "right lung"])]
    return []


def _normal_bones(case: Case, lots: random.Random) -> list[str]:
    if case.of("fracture") or lots.random() < 0.6:
        return []
    return [lots.choice(phrases()["normal"]["bones"])]


def _negatives(case: Case, lots: random.Random) -> list[str]:
    """What is not there, in one or two sentences."""
    drawn = {lesion.disease for lesion in case.lesions}
    absent = [
        disease
        for disease in phrases()["negatives"]
        if disease not in drawn and not drawn.intersection(EXCLUDES.get(disease, ()))
    ]
    count = min(len(absent), lots.choice((0, 1, 2, 2, 3, 3, 4)))
    # Effusion and pneumothorax are denied far more often than the rest.
    ranked = sorted(
        absent, key=lambda d: lots.random() * (0.35 if d in ("pleural effusion", "pneumothorax") else 1.0)
    )
    chosen = ranked[:count]
    lots.shuffle(chosen)
    words = [lots.choice(phrases()["negatives"][disease]) for disease in chosen]
    groups = [words[:2], words[2:]] if len(words) > 2 and lots.random() < 0.4 else [words]
    return [_deny(group, lots) for group in groups if group]


def _deny(words: list[str], lots: random.Random) -> str:
    if len(words) == 1 and lots.random() < 0.1:
        return str(lots.choice(phrases()["negation after"])).format(List=capital(words[0]))
    return str(lots.choice(phrases()["negation"])).format(list=join(words, "or"))


def _incidental(case: Case, lots: random.Random) -> list[str]:
    words, said = phrases()["incidental"], []
    if case.technique.inspiration < 0.2 and lots.random() < 0.8:
        said.append(lots.choice(words["low volumes"]))
    if case.patient.aorta > 1.12 and not case.of("enlarged cardiomediastinum") and lots.random() < 0.5:
        said.append(lots.choice(words["tortuous"]))
    if case.patient.age > 60 and lots.random() < 0.2:
        said.append(lots.choice(words["degenerative"]))
    return said


def _impression(case: Case, told: list[Lesion], lots: random.Random, *, full: bool) -> str:
    """The gist; `full` where it is all there is of the report."""
    if not told:
        return str(lots.choice(phrases()["impression normal"]))
    sentences = _affirm(told, lots, short=not full)
    if full or lots.random() < 0.15:
        sentences += _negatives(case, lots)[:1]
    if lots.random() < 0.1:
        sentences.append(lots.choice(phrases()["impression tail"]))
    if len(sentences) > 1 and lots.random() < 0.45:
        return " ".join(f"{i}. {text}" for i, text in enumerate(sentences, start=1))
    return " ".join(sentences)
