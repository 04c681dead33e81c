"""Splits by patient: one patient's studies never fall on two sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc

from medtrim.errors import ConfigError, TableError
from medtrim.types import Study
from medtrim.types.study_table import StudyTable

SPLITS = ("train", "val", "test")
DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}


@overload
def assign_splits(
    studies: StudyTable, *, fractions: Mapping[str, float] = ..., seed: int = ..., overwrite: bool = ...
) -> StudyTable: ...
@overload
def assign_splits(
    studies: Sequence[Study], *, fractions: Mapping[str, float] = ..., seed: int = ..., overwrite: bool = ...
) -> Sequence[Study]: ...
def assign_splits(
    studies: Sequence[Study],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    overwrite: bool = False,
) -> Sequence[Study]:
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
    patients = _column(studies, "patient_id")
    drawn = {p: given.get(p) or _drawn(p, fractions, seed) for p in dict.fromkeys(patients)}
    if not given:
        drawn = _without_empty_splits(drawn, fractions, seed)
    if isinstance(studies, StudyTable):
        return studies.replaced("split", pa.chunked_array([pa.array([drawn[p] for p in patients], pa.string())]))
    return [replace(s, split=drawn[s.patient_id]) for s in studies]


def assign_folds(studies: Sequence[Study], *, folds: int, seed: int = 0) -> list[int]:
    """The fold of each study, 0 to `folds` − 1, by patient: folds differ by at most one patient.

    Patients are ordered by a hash of (seed, patient id) and dealt to the folds in turn, so the order of the table
    plays no part. Splits that the table gives are not looked at.

    Raises:
        ConfigError: fewer than two folds.
        TableError: a study has no patient id, or there are fewer patients than folds.

    Examples:
        >>> from medtrim.types import Study
        >>> studies = [Study(f"s{i}", patient_id=f"p{i // 2}") for i in range(8)]
        >>> found = assign_folds(studies, folds=2)
        >>> sorted(found), found[0] == found[1]
        ([0, 0, 0, 0, 1, 1, 1, 1], True)
    """
    if folds < 2:
        raise ConfigError(f"cross-validation needs at least 2 folds, not {folds}")
    check_patients_named(studies)
    owners = _column(studies, "patient_id")
    patients = sorted(set(owners), key=lambda patient: _digest(f"{seed}\x00fold\x00{patient}"))
    if len(patients) < folds:
        raise TableError(f"{len(patients)} patient(s) cannot fill {folds} folds: a patient is in one fold alone")
    fold = {patient: i % folds for i, patient in enumerate(patients)}
    return [fold[owner] for owner in owners]


def check_patient_overlap(studies: Sequence[Study]) -> None:
    """Raise a `TableError` if a patient has studies in two splits; the message names studies, not the patient."""
    owners, splits = _column(studies, "patient_id"), _column(studies, "split")
    if nameless := [row for row, pair in enumerate(zip(owners, splits, strict=True)) if pair[1] and not pair[0]]:
        raise _nameless(studies, nameless)
    _given(studies)


def check_splits(studies: Sequence[Study]) -> None:
    """Raise a `TableError` if a patient has studies in two splits; studies without a patient are passed over."""
    _given(studies)


def check_patients_named(studies: Sequence[Study]) -> None:
    """Raise a `TableError` if a study has no patient id: without it nobody can tell whether splits overlap."""
    nameless = [row for row, patient in enumerate(_column(studies, "patient_id")) if not patient]
    if nameless:
        raise _nameless(studies, nameless)


def _nameless(studies: Sequence[Study], rows: list[int]) -> TableError:
    first = studies[rows[0]].study_id
    return TableError(f"{len(rows)} studies without a patient id, the first is {first!r}: cannot split by patient")


def _column(studies: Sequence[Study], name: str) -> list[str]:
    """A text of every study."""
    if isinstance(studies, StudyTable):
        values: list[str] = studies.texts(name).to_pylist()
        return values
    return [getattr(study, name) for study in studies]


def select_split(studies: Sequence[Study], split: str) -> Sequence[Study]:
    """The studies of one split, in order.

    Raises:
        TableError: there are none; the message lists the splits there are.
    """
    chosen = of_splits(studies, (split,))
    if not chosen:
        there = ", ".join(repr(name) for name in dict.fromkeys(_column(studies, "split"))) or "none"
        raise TableError(f"no study in split {split!r}; splits found: {there}")
    return chosen


def of_splits(studies: Sequence[Study], splits: Collection[str]) -> Sequence[Study]:
    """The studies of some splits, in order."""
    if isinstance(studies, StudyTable):
        return studies.select(pc.is_in(studies.texts("split"), pa.array(list(splits), pa.string())))
    return [s for s in studies if s.split in splits]


def _given(studies: Sequence[Study]) -> dict[str, str]:
    """Patient → the split that the table gives; studies without a patient are passed over."""
    given: dict[str, str] = {}
    first: dict[str, int] = {}
    crossing: list[tuple[int, int]] = []
    owners, splits = _column(studies, "patient_id"), _column(studies, "split")
    for row, (patient, split) in enumerate(zip(owners, splits, strict=True)):
        if split and patient:
            if given.setdefault(patient, split) != split:
                crossing.append((first[patient], row))
            first.setdefault(patient, row)
    if crossing:
        a, b = (studies[row] for row in crossing[0])
        patients = len({owners[row] for _, row in crossing})
        raise TableError(
            f"{patients} patient(s) in more than one split: "
            f"study {a.study_id!r} is in {a.split!r} and study {b.study_id!r} of the same patient in {b.split!r}"
        )
    return given


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
