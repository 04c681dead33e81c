"""MIMIC-CXR's and CheXpert Plus's own layouts, on folders made like theirs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from medtrim.data import read_corpus
from medtrim.errors import TableError
from medtrim.types import Sections


def sections(text: str) -> Sections:
    return Sections(findings=text.removeprefix("FINDINGS: ") if text.startswith("FINDINGS: ") else "")


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    metadata = (
        "dicom_id,subject_id,study_id,ViewPosition,Rows\n"
        "b,10000032,50000001,LATERAL,3000\na,10000032,50000001,AP,3000\n"
        "d,10000032,50000001,PA,3000\n"
        "c,11000045,50000002,PA,3000\n"
        "e,11000045,50000003,AP,3000\n"
    )
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress(metadata.encode()))
    (tmp_path / "mimic-cxr-2.0.0-split.csv").write_text(
        "dicom_id,study_id,subject_id,split\na,50000001,10000032,train\nc,50000002,11000045,validate\n"
    )
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv").write_text(
        "subject_id,study_id,Atelectasis,Edema\n10000032,50000001,1.0,-1.0\n11000045,50000002,,0.0\n"
    )
    folder = tmp_path / "files" / "p10" / "p10000032" / "s50000001"
    folder.mkdir(parents=True)
    (folder / "d.dcm").touch()
    folder.with_suffix(".txt").write_text("FINDINGS: Edema.")
    other = tmp_path / "files" / "p11" / "p11000045"
    other.mkdir(parents=True)
    (other / "s50000002.txt").write_text("FINDINGS: Clear.")
    (other / "s50000003.txt").write_bytes(b"FINDINGS: \xe9")
    return tmp_path


def test_mimic_root_joins_metadata_split_labels_and_reports(mimic):
    reading = read_corpus(mimic, split_sections=sections)
    first, second = reading.studies
    assert (first.study_id, first.patient_id, first.split, first.view) == ("s50000001", "p10000032", "train", "PA")
    folder = "files/p10/p10000032/s50000001"
    assert first.images == (f"{folder}/d.dcm", f"{folder}/a.dcm", f"{folder}/b.dcm")
    assert first.findings == "Edema."
    assert first.labels == {"Atelectasis": 1.0, "Edema": -1.0}
    assert (second.split, second.labels["Atelectasis"]) == ("val", None)
    assert [(r.study_id, r.source) for r in reading.rejects] == [("s50000003", "s50000003")]
    assert "0xe9" in reading.rejects[0].reason


def test_mimic_sections_file_goes_before_the_texts(mimic):
    (mimic / "mimic_cxr_sectioned.csv").write_text(
        "study,impression,findings,last_paragraph,comparison\ns50000001,No change.,,x,y\n"
    )
    first = read_corpus(mimic, split_sections=sections).studies[0]
    assert (first.findings, first.impression) == ("", "No change.")


def test_mimic_with_missing_columns_or_metadata(mimic, tmp_path):
    (mimic / "mimic-cxr-2.0.0-split.csv").write_text("study_id,spilt\n1,train\n")
    with pytest.raises(TableError, match="'split'.*'spilt' meant"):
        read_corpus(mimic, split_sections=sections)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="metadata"):
        read_corpus(tmp_path / "empty", layout="mimic-cxr")


CHEXPERT = (
    "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,"
    "section_findings,section_impression,section_history,age,sex,split"
)
CHEXPERT += """
train/patient1/study1/view2_lateral.jpg,x,Lateral,,patient1,1,FINDINGS: whole.,,Effusion.,Cough.,61.0,F,train
train/patient1/study1/view1_frontal.jpg,x,Frontal,AP,patient1,1,FINDINGS: whole.,,Effusion.,Cough.,61.0,F,train
train/patient1/study2/view1_frontal.jpg,x,Frontal,PA,patient1,2,FINDINGS: Whole report.,,,Cough.,61.0,F,train
valid/patient2/study1/view1_frontal.jpg,x,Frontal,AP,patient2,1,,,,,70.0,M,valid
odd/path.jpg,x,Frontal,AP,patient3,1,,,Text.,,70.0,M,valid
"""


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    path = tmp_path / "df_chexpert_plus_240401.csv"
    path.write_text(CHEXPERT)
    return path


def test_chexpert_plus_is_known_by_its_columns(chexpert):
    reading = read_corpus(chexpert, split_sections=sections)
    first, second = reading.studies
    assert (first.study_id, first.patient_id, first.view) == ("patient1/study1", "patient1", "AP")
    assert first.images == (
        "train/patient1/study1/view1_frontal.jpg",
        "train/patient1/study1/view2_lateral.jpg",
    )
    assert (first.impression, first.split) == ("Effusion.", "train")
    assert second.findings == "Whole report."
    assert set(first.labels) == {"age", "sex"}
    assert {r.study_id: r.reason for r in reading.rejects} == {"patient2/study1": "empty report", "": "no study id"}


def test_chexpert_plus_png_edition(chexpert, tmp_path):
    folder = tmp_path / "png" / "train" / "patient1" / "study1"
    folder.mkdir(parents=True)
    (folder / "view2_lateral.png").touch()
    reading = read_corpus(chexpert, split_sections=sections, image_root=tmp_path / "png")
    assert all(image.endswith(".png") for study in reading.studies for image in study.images)


def test_a_mapping_by_hand_overrules_the_layout(chexpert):
    columns = {"study_id": "path_to_image", "patient_id": "deid_patient_id", "findings": "section_history"}
    studies = read_corpus(chexpert, columns=columns).studies
    assert [(s.findings, s.impression) for s in studies[:1]] == [("Cough.", "Effusion.")]
    assert studies[0].study_id == "train/patient1/study1/view2_lateral.jpg"
