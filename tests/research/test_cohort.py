from __future__ import annotations

import csv

import numpy as np
import pytest

from medtrim.errors import TableError
from medtrim.types import Study
from research.cohort import assign_folds, join_patients, read_cohort


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "text", "patientid", "view", "zone_A"], *rows])
    return path


def test_rows_with_one_note_of_one_patient_are_one_study_and_the_frontal_image_stands_for_it(tmp_path):
    rows = [
        ["a.png", "Fever. Left effusion.", "7", "L", 1],
        ["b.png", "Left effusion.", "7", "PA", 1],
        ["c.png", "Right effusion.", "7", "PA", 1],
        ["d.png", "Fever and cough.", "8", "PA", 1],
        ["e.png", "", "9", "PA", 1],
    ]
    cohort = read_cohort(write(tmp_path / "m.csv", rows), zones="zone_")
    assert [(s.study_id, s.findings) for s in cohort.studies] == [("b", "Left effusion."), ("c", "Right effusion.")]
    assert [image.rsplit("/")[-1] for image in cohort.studies[0].images] == ["b.png", "a.png"]
    assert cohort.counts["rows"] == 5
    assert cohort.counts["rows without a usable note"] == 2
    assert cohort.counts["rows merged into another"] == 1
    assert len(cohort.zoned) == 0  # one zone of six is no score
    assert all("7" not in s.patient_id.lstrip("p0") for s in cohort.studies)


def test_patients_who_share_a_note_are_joined_directly_or_through_others():
    notes = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("d", "z"), ("e", ""), ("f", "")]
    code = join_patients([Study(f"s{i}", patient, findings=note) for i, (patient, note) in enumerate(notes)])
    assert code["a"] == code["b"] == code["c"]
    assert len({code[p] for p in "adef"}) == 4


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(TableError, match="note about it"):
        read_cohort(write(tmp_path / "m.csv", [["a.png", "Fever.", "1", "PA", ""]]))


def test_folds_keep_patients_whole_and_are_even_and_repeatable(manifest):
    cohort = read_cohort(manifest, zones="zone_")
    fold_of = assign_folds(cohort.studies, cohort.zoned, folds=4, seed=3)
    assert fold_of == assign_folds(cohort.studies, cohort.zoned, folds=4, seed=3)
    assert fold_of != assign_folds(cohort.studies, cohort.zoned, folds=4, seed=4)
    assert np.ptp(np.bincount([fold_of[s.patient_id] for s in cohort.studies])) <= 2
    assert np.ptp(np.bincount([fold_of[s.patient_id] for s in cohort.zoned])) <= 2
    assert len(cohort.zoned) == 24
    assert cohort.zones.shape == (24, 6)


def test_more_folds_than_patients_are_refused(manifest):
    cohort = read_cohort(manifest, zones="zone_")
    with pytest.raises(TableError, match="24 patients cannot be dealt into 25"):
        assign_folds(cohort.studies, cohort.zoned, folds=25, seed=0)


def test_the_shared_collection(shared):
    cohort = read_cohort(shared / "data" / "covid_cxr" / "manifest.csv")
    assert cohort.counts["rows"] > len(cohort.studies)
    assert cohort.counts["images with zone scores"] == len(cohort.zones) > 50
    assert cohort.counts["studies"] == len(cohort.studies) > 100
    assert cohort.zones.min() >= 0
    assert cohort.zones.max() <= 3
    assert not any("CT" in s.findings.split() for s in cohort.studies)
