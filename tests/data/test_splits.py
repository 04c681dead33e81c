from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.data import assign_folds, assign_splits, check_patient_overlap, select_split
from medtrim.errors import ConfigError, TableError
from medtrim.types import Study


def corpus(patients: int, each: int = 3) -> list[Study]:
    return [Study(f"s{p}-{i}", f"p{p}") for i in range(each) for p in range(patients)]


def test_no_patient_crosses_and_shares_are_met():
    studies = assign_splits(corpus(3000), seed=1)
    check_patient_overlap(studies)
    share = sum(s.split == "train" for s in studies) / len(studies)
    assert abs(share - 0.8) < 0.02


def test_split_depends_on_seed_and_patient_alone():
    many, few = corpus(500), corpus(500)[100:160][::-1]
    by_id = {s.study_id: s.split for s in assign_splits(many, seed=3)}
    again = assign_splits(few, seed=3, fractions={"train": 0.8, "val": 0.1, "test": 0.1})
    assert {s.study_id: s.split for s in again} == {s.study_id: by_id[s.study_id] for s in few}
    assert by_id != {s.study_id: s.split for s in assign_splits(many, seed=4)}
    # Frozen: a change here would silently move patients between the splits of every existing study.
    assert [by_id[f"s{p}-0"] for p in range(12)] == FROZEN


FROZEN = ["train", "train", "train", "train", "train", "train", "train", "train", "train", "train", "test", "val"]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_given_splits_are_kept_and_followed(seed, patients):
    studies = [
        Study(f"s{i}", f"p{p}", split="test" if p == patients[0] and i == 0 else "") for i, p in enumerate(patients)
    ]
    assigned = assign_splits(studies, seed=seed)
    assert all(s.split == "test" for s in assigned if s.patient_id == studies[0].patient_id)
    check_patient_overlap(assigned)


def test_overlap_names_studies_and_never_the_patient():
    with pytest.raises(TableError, match="study 'a'.*'train'.*study 'b'.*'test'") as caught:
        check_patient_overlap([Study("a", "secret", split="train"), Study("b", "secret", split="test")])
    assert "secret" not in str(caught.value)
    check_patient_overlap([Study("a", "p", split="train"), Study("b", "p")])


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(0, 30), st.integers(1, 3))
def test_folds_hold_whole_patients_and_are_of_one_size(seed, folds, more, each):
    studies = corpus(folds + more, each)
    found = assign_folds(studies, folds=folds, seed=seed)
    of_patient = {}
    for study, fold in zip(studies, found, strict=True):
        of_patient.setdefault(study.patient_id, set()).add(fold)
    assert all(len(own) == 1 for own in of_patient.values())
    sizes = [sum(own == {fold} for own in of_patient.values()) for fold in range(folds)]
    assert max(sizes) - min(sizes) <= 1
    assert assign_folds(studies[::-1], folds=folds, seed=seed) == found[::-1]


def test_folds_that_cannot_be_filled():
    with pytest.raises(TableError, match="3 patient\\(s\\) cannot fill 4 folds"):
        assign_folds(corpus(3), folds=4)
    with pytest.raises(ConfigError, match="at least 2 folds, not 1"):
        assign_folds(corpus(3), folds=1)
    with pytest.raises(TableError, match="without a patient id"):
        assign_folds([Study("a", ""), Study("b", "p")], folds=2)


def test_bad_requests():
    with pytest.raises(TableError, match="patient id"):
        assign_splits([Study("a", "")])
    with pytest.raises(ConfigError, match="add up"):
        assign_splits(corpus(5), fractions={"train": 0.5})
    with pytest.raises(TableError, match="got no patient.*`--split none`"):
        assign_splits(corpus(2))
    with pytest.raises(TableError, match="splits found: 'train'"):
        select_split([Study("a", "p", split="train")], "test")
    assert [s.split for s in assign_splits(corpus(9), fractions={"train": 1.0, "test": 0.0})] == ["train"] * 27


@pytest.mark.parametrize("patients", [3, 4, 6, 10])
def test_no_split_of_a_small_corpus_stays_empty(patients):
    for seed in range(20):
        studies = corpus(patients)
        assigned = assign_splits(studies, seed=seed)
        assert {s.split for s in assigned} == {"train", "val", "test"}
        check_patient_overlap(assigned)
        by_id = {s.study_id: s.split for s in assigned}
        assert {s.study_id: s.split for s in assign_splits(studies[::-1], seed=seed)} == by_id


def test_filling_a_split_moves_one_patient_of_the_largest():
    whole = {f"s{p}-0": "train" for p in range(6)}
    filled = {s.study_id: s.split for s in assign_splits(corpus(6, each=1), fractions=ALMOST_ALL, seed=5)}
    assert {s.split for s in assign_splits(corpus(6, each=1), fractions={"train": 1.0}, seed=5)} == {"train"}
    assert sorted(filled[s] for s in whole) == ["test"] + ["train"] * 5


ALMOST_ALL = {"train": 1 - 1e-8, "test": 1e-8}
