"""Splits by patient: one patient's studies never fall on two sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from medtrim.errors import ConfigError, TableError
from medtrim.types import Study

SPLITS = ("train", "val", "test")
DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}


def assign_splits(
    studies: Sequence[Study],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    overwrite: bool = False,
) -> list[Study]:
    """`studies` with a split each, by patient, in the order given.

    A patient's split is where a hash of (seed, patient id) falls among the fractions. So it depends on nothing
    else: studies that are added later leave everybody where they are, and the order of the table plays no part.
    The shares are met in expectation; of 129 patients, 13 ± 3 fall into a tenth.

    Only in a corpus so small that a split with a share got nobody does it depend on the other patients: one of the
    largest split moves there, the first by another hash of (seed, patient id).

    Patients with a split already keep it, unless `overwrite`; their studies without one go with them.

    Raises:
        ConfigError: the fractions are negative or do not add up to 1.
        TableError: a study has no patient id, a patient is in two splits, or there are fewer patients than splits
            with a share.
    """
    if any(share < 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ConfigError(f"split fractions must be at least 0 and add up to 1: {dict(fractions)}")
    check_patients_named(studies)
    given = {} if overwrite else _given(studies)
    drawn = {s.patient_id: given.get(s.patient_id) or _drawn(s.patient_id, fractions, seed) for s in studies}
    if not given:
        drawn = _without_empty_splits(drawn, fractions, seed)
    return [replace(s, split=drawn[s.patient_id]) for s in studies]


def check_patient_overlap(studies: Iterable[Study]) -> None:
    """Raise a `TableError` if a patient has studies in two splits; the message names studies, not the patient."""
    studies = list(studies)
    check_patients_named([s for s in studies if s.split])
    _given(studies)


def check_splits(studies: Iterable[Study]) -> None:
    """Raise a `TableError` if a patient has studies in two splits; studies without a patient are passed over."""
    _given(s for s in studies if s.patient_id)


def check_patients_named(studies: Iterable[Study]) -> None:
    """Raise a `TableError` if a study has no patient id: without it nobody can tell whether splits overlap."""
    nameless = [s.study_id for s in studies if not s.patient_id]
    if nameless:
        raise TableError(
            f"{len(nameless)} studies without a patient id, the first is {nameless[0]!r}: cannot split by patient"
        )


def select_split(studies: Iterable[Study], split: str) -> list[Study]:
    """The studies of one split, in order.

    Raises:
        TableError: there are none; the message lists the splits there are.
    """
    studies = list(studies)
    chosen = [s for s in studies if s.split == split]
    if not chosen:
        there = ", ".join(repr(name) for name in dict.fromkeys(s.split for s in studies)) or "none"
        raise TableError(f"no study in split {split!r}; splits found: {there}")
    return chosen


def _given(studies: Iterable[Study]) -> dict[str, str]:
    """Patient → the split that the table gives."""
    first: dict[str, Study] = {}
    crossing: list[tuple[Study, Study]] = []
    for study in studies:
        if study.split:
            other = first.setdefault(study.patient_id, study)
            if other.split != study.split:
                crossing.append((other, study))
    if crossing:
        a, b = crossing[0]
        patients = len({study.patient_id for _, study in crossing})
        raise TableError(
            f"{patients} patient(s) in more than one split: "
            f"study {a.study_id!r} is in {a.split!r} and study {b.study_id!r} of the same patient in {b.split!r}"
        )
    return {patient: study.split for patient, study in first.items()}


def _without_empty_splits(drawn: dict[str, str], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """`drawn` (patient → split) with a patient of the largest split in each split with a share that got none."""
    wanted = [name for name, share in fractions.items() if share > 0]
    members = {name: sorted(p for p, split in drawn.items() if split == name) for name in wanted}
    empty = [name for name in wanted if not members[name]]
    if empty and len(drawn) < len(wanted):
        raise TableError(
            f"split {empty[0]!r} got no patient: {len(drawn)} patient(s) cannot fill {len(wanted)} splits; "
            "`--split none` leaves the studies without a split"
        )
    for name in empty:
        largest = max(wanted, key=lambda split: len(members[split]))
        moved = min(members[largest], key=lambda patient: _digest(f"{seed}\x00moved\x00{patient}"))
        members[largest].remove(moved)
        members[name].append(moved)
    return {patient: name for name, patients in members.items() for patient in patients}


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def _drawn(patient_id: str, fractions: Mapping[str, float], seed: int) -> str:
    place = int.from_bytes(_digest(f"{seed}\x00{patient_id}"), "big") / 2**64
    edge = 0.0
    for name, share in fractions.items():
        edge += share
        if place < edge:
            return name
    return [name for name, share in fractions.items() if share > 0][-1]  # rounding left the edge just below 1
