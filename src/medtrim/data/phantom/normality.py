"""What phantom reports say of what is not diseased: normal anatomy, denials, incidental remarks."""

from __future__ import annotations

from medtrim.data.phantom.case import BILATERAL, Case
from medtrim.data.phantom.wording import capital, join
from medtrim.data.phantom.world import Lots

LUNG_DISEASES = ("atelectasis", "consolidation", "edema", "lung lesion", "lung opacity", "pneumonia")
# A report does not deny in general what it affirms in particular.
EXCLUDES = {
    "consolidation": ("pneumonia",),
    "lung opacity": LUNG_DISEASES,
    "pneumonia": ("consolidation", "lung opacity"),
}


def normal_heart(case: Case, lots: Lots) -> list[str]:
    """Heart and mediastinum, as far as they are normal."""
    normal = lots.world.words["normal"]
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


def normal_lungs(case: Case, lots: Lots) -> list[str]:
    """Clear lungs, or the one that is; a lung under fluid or air is not called clear."""
    normal = lots.world.words["normal"]
    affected = (*LUNG_DISEASES, "pleural effusion", "pneumothorax")
    diseased = {side for x in case.lesions if x.disease in affected for side in (x.sides or BILATERAL)}
    said = []
    if not case.of("pleural effusion") and lots.random() < 0.12:
        said.append(lots.choice(normal["angles"]))
    if lots.random() < 0.35:
        return said
    if not diseased:
        said.insert(0, lots.choice(normal["lungs"]))
        if lots.random() < 0.3:
            said.append(lots.choice(normal["vessels"]))
    elif len(diseased) == 1:
        said.insert(0, lots.choice(normal["left lung" if "left" in diseased else "right lung"]))
    return said


def normal_bones(case: Case, lots: Lots) -> list[str]:
    """Bones without a finding, said now and then."""
    if case.of("fracture") or lots.random() < 0.6:
        return []
    return [lots.choice(lots.world.words["normal"]["bones"])]


def denials(case: Case, lots: Lots, *, said: str) -> list[str]:
    """What is not there and was not denied in `said` already, in one or two sentences."""
    drawn = [lesion.disease for lesion in case.lesions]
    absent = [
        disease
        for disease in lots.world.words["negatives"]
        if disease not in drawn
        and not any(other in drawn for other in EXCLUDES.get(disease, ()))
        and disease.split()[-1] not in said.lower()
    ]
    count = min(len(absent), lots.choice((0, 1, 2, 2, 3, 3, 4)))
    # Effusion and pneumothorax are denied far more often than the rest.
    ranked = sorted(
        absent, key=lambda d: lots.random() * (0.35 if d in ("pleural effusion", "pneumothorax") else 1.0)
    )
    chosen = ranked[:count]
    lots.shuffle(chosen)
    words = [lots.choice(lots.world.words["negatives"][disease]) for disease in chosen]
    groups = [words[:2], words[2:]] if len(words) > 2 and lots.random() < 0.4 else [words]
    return [_deny(group, lots) for group in groups if group]


def _deny(words: list[str], lots: Lots) -> str:
    if len(words) == 1 and lots.random() < 0.1:
        return str(lots.choice(lots.world.words["negation after"])).format(List=capital(words[0]))
    return str(lots.choice(lots.world.words["negation"])).format(list=join(words, "or"))


def incidental(case: Case, lots: Lots) -> list[str]:
    """Remarks on breath, aorta, hardware and spine, as drawn or as the age suggests."""
    words, said = lots.world.words["incidental"], []
    if case.technique.inspiration < 0.2 and lots.random() < 0.8:
        said.append(lots.choice(words["low volumes"]))
    if case.patient.aorta > 1.12 and not case.of("enlarged cardiomediastinum") and lots.random() < 0.5:
        said.append(lots.choice(words["tortuous"]))
    for device in (*case.patient.implants, *case.technique.attached):
        if lots.random() < 0.7:
            said.append(lots.choice(words[device]))
    if case.patient.age > 60 and lots.random() < 0.2:
        said.append(lots.choice(words["degenerative"]))
    return said
