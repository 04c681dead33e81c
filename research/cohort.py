"""A small collection of radiographs with notes, made ready for cross-validation by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.data import read_corpus
from medtrim.errors import TableError
from medtrim.types import Reject, Sections, Study
from research.notes import note_rules

ZONES = "ABCDEF"
# BrixIA's zones (Borghesi & Maroldi 2020): A, B, C are the upper, middle and lower third of the patient's right
# lung, D, E, F of the left one; 0 (nothing) to 3 each.
RIGHT, LEFT = slice(0, 3), slice(3, 6)


@dataclass(frozen=True)
class Cohort:
    """Studies with cleaned notes, and images with zone scores.

    Attributes:
        studies: one for each distinct cleaned note of a patient; `patient_id` is a code for joined patients.
        zoned: an entry for each image with zone scores, with its own id and `study` among its labels: the id of
            the study that its note is in, empty where the note was left out.
        zones: float [zoned 6], A to F.
        rejects: records that could not be used.
        counts: what was read, left out and merged.
    """

    studies: tuple[Study, ...]
    zoned: tuple[Study, ...]
    zones: NDArray[np.float64]
    rejects: tuple[Reject, ...]
    counts: Mapping[str, int]


def read_cohort(manifest: Path | str, *, zones: str = "brixia_senior_") -> Cohort:
    """Read a manifest with an image a row and its note, clean the notes and merge what is the same.

    1. Notes are cleaned by `note_rules.yaml`; a row without note, or of whose note nothing is left, is rejected.
    2. Patients who share a cleaned note, to the letter, are joined: they go into the same fold and count as one in
       the bootstrap.
    3. Rows of a (joined) patient with the same cleaned note are one study with several images. The first frontal
       one stands for it, in the order of the manifest; a lateral one only where there is no other.

    Args:
        manifest: any table that `medtrim data import` reads, with image, patient, note and view.
        zones: what the names of six columns of zone scores begin with, before A to F.

    Raises:
        TableError: the table cannot be read, or no usable study is in it.
    """
    manifest = Path(manifest)
    reading = read_corpus(manifest, split_sections=lambda text: Sections(findings=text), image_root=manifest.parent)
    rules = note_rules()
    cleaned = [replace(s, findings=rules.clean(s.report), impression="") for s in reading.studies]
    empty = [
        Reject(s.study_id, manifest.name, "the note says nothing about the radiograph")
        for s in cleaned
        if not s.findings
    ]
    usable = [s for s in cleaned if s.findings]
    if not usable:
        raise TableError(f"{manifest}: no row has an image and a note about it")
    joined = join_patients(cleaned)
    merged = _merged([replace(s, patient_id=joined[s.patient_id]) for s in usable])
    home = {(s.patient_id, s.findings): s.study_id for s in merged}
    scored = [(s, found) for s in cleaned if (found := _zone_scores(s, zones)) is not None]
    zoned = tuple(
        Study(
            f"zones-{s.study_id}",
            joined[s.patient_id],
            s.images[:1],
            view=s.view,
            labels={"study": home.get((joined[s.patient_id], s.findings), "")},
        )
        for s, _ in scored
    )
    counts = {
        "rows": len(reading.studies) + len(reading.rejects),
        "rows without a usable note": len(reading.rejects) + len(empty),
        "rows merged into another": len(usable) - len(merged),
        "studies": len(merged),
        "patients": len({s.patient_id for s in merged}),
        "images with zone scores": len(zoned),
        "patients with zone scores": len({s.patient_id for s in zoned}),
    }
    table = np.array([found for _, found in scored], np.float64).reshape(len(scored), len(ZONES))
    return Cohort(tuple(merged), zoned, table, (*reading.rejects, *empty), counts)


def join_patients(studies: Sequence[Study]) -> dict[str, str]:
    """Patient id → code of all patients it is joined with, by a shared note directly or through others."""
    parent = {s.patient_id: s.patient_id for s in studies}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    first: dict[str, str] = {}
    for study in studies:
        if study.findings:
            other = first.setdefault(study.findings, study.patient_id)
            parent[root(study.patient_id)] = root(other)
    roots = list(dict.fromkeys(root(p) for p in parent))
    code = {patient: f"p{number:04d}" for number, patient in enumerate(roots)}
    return {patient: code[root(patient)] for patient in parent}


def assign_folds(studies: Sequence[Study], zoned: Sequence[Study], *, folds: int, seed: int) -> dict[str, int]:
    """Patient → fold.

    Patients are dealt in random order, those with most zone scores and then those with most studies first, each to
    the fold that has fewest zone scores (where the patient has some), then fewest studies.

    Raises:
        TableError: fewer patients than folds, or fewer than two folds.
    """
    patients = sorted({s.patient_id for s in (*studies, *zoned)})
    if not 2 <= folds <= len(patients):
        raise TableError(f"{len(patients)} patients cannot be dealt into {folds} folds")
    count = {p: [0, 0] for p in patients}
    for study in studies:
        count[study.patient_id][1] += 1
    for image in zoned:
        count[image.patient_id][0] += 1
    shuffled = [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]
    loads = [[0, 0] for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for patient in sorted(shuffled, key=lambda p: [-n for n in count[p]]):
        scores, number = count[patient]
        fold = min(range(folds), key=lambda k: (loads[k][0] if scores else 0, loads[k][1], k))
        fold_of[patient] = fold
        loads[fold][0] += scores
        loads[fold][1] += number
    return fold_of


def _merged(studies: Sequence[Study]) -> list[Study]:
    groups: dict[tuple[str, str], list[Study]] = {}
    for study in studies:
        groups.setdefault((study.patient_id, study.findings), []).append(study)
    merged = []
    for group in groups.values():
        ordered = sorted(group, key=lambda s: s.view.strip().upper().startswith("L"))
        images = tuple(image for s in ordered for image in s.images)
        merged.append(replace(ordered[0], images=images, labels={}))
    return sorted(merged, key=lambda s: s.study_id)


def _zone_scores(study: Study, prefix: str) -> list[float] | None:
    """The six scores, or None where one is missing."""
    cells = [study.labels.get(f"{prefix}{zone}") for zone in ZONES]
    scores = [float(cell) for cell in cells if isinstance(cell, int | float) and cell == cell]
    return scores if len(scores) == len(ZONES) else None
