"""MIMIC-CXR's and CheXpert Plus's own layouts, on folders made like theirs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import set_pixel_data
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from medtrim.data import check_images, read_corpus
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
    assert first.labels == {"Atelectasis": 1.0, "Edema": -1.0, "image_views": ["PA", "AP", "LATERAL"]}
    assert (second.split, second.labels["Atelectasis"]) == ("val", None)
    assert [(r.study_id, r.source) for r in reading.rejects] == [("s50000003", "s50000003")]
    assert "0xe9" in reading.rejects[0].reason


def test_mimic_sections_file_goes_before_the_texts(mimic):
    (mimic / "mimic_cxr_sectioned.csv").write_text(
        "study,impression,findings,last_paragraph,comparison\ns50000001,No change.,,x,y\n"
    )
    first = read_corpus(mimic, split_sections=sections).studies[0]
    assert (first.findings, first.impression) == ("", "No change.")


def test_mimic_keeps_a_report_that_has_a_last_paragraph_only(mimic):
    (mimic / "mimic_cxr_sectioned.csv").write_text(
        "study,impression,findings,last_paragraph,comparison\ns50000001,,,Lungs are clear.,y\n"
    )
    assert read_corpus(mimic, split_sections=sections).studies[0].findings == "Lungs are clear."


def test_a_bad_row_of_mimic_is_a_reject_and_a_missing_split_file_is_said(mimic):
    assert read_corpus(mimic, split_sections=sections).warnings == ()
    (mimic / "mimic-cxr-2.0.0-split.csv").unlink()
    with gzip.open(mimic / "mimic-cxr-2.0.0-metadata.csv.gz", "ab") as file:
        file.write(b"f,11000045\ng,11000045,,PA,3000\n")
    reading = read_corpus(mimic, split_sections=sections)
    assert len(reading.studies) == 2
    assert {r.source: r.reason for r in reading.rejects if r.source.startswith("mimic")} == {
        "mimic-cxr-2.0.0-metadata.csv.gz:7": "row has 2 cells, the header 5",
        "mimic-cxr-2.0.0-metadata.csv.gz:8": "no study_id",
    }
    assert "holds no mimic-cxr-2.0.0-split.csv" in reading.warnings[0]


def test_copies_of_mimic_as_png_are_found_beside_the_others(mimic):
    folder = mimic / "files/p10/p10000032/s50000001"
    (folder / "d.dcm").rename(folder / "d.png")
    (folder / "a.jpg").touch()
    first = read_corpus(mimic, split_sections=sections).studies[0]
    assert [Path(i).name for i in first.images] == ["d.png", "a.jpg", "b.jpg"]


def dicom(path: Path, view: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 4095, (32, 32), dtype=np.uint16)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Modality, made.ViewPosition = "DX", view
    set_pixel_data(made, pixels, "MONOCHROME2", 12)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


def test_mimic_as_dicom_takes_views_from_headers_and_reports_from_another_folder(tmp_path):
    root, reports = tmp_path / "mimic-cxr", tmp_path / "mimic-cxr-reports"
    folder = "files/p10/p10000032/s50000001"
    for name, view in (("a", "LL"), ("b", "AP"), ("c", "")):
        dicom(root / folder / f"{name}.dcm", view)
    rows = "".join(f"10000032,50000001,{name},{folder}/{name}.dcm\n" for name in "abc")
    (root / "cxr-record-list.csv.gz").write_bytes(
        gzip.compress(f"subject_id,study_id,dicom_id,path\n{rows}".encode())
    )
    listed = f"subject_id,study_id,path\n10000032,50000001,{folder}.txt\n"
    (root / "cxr-study-list.csv.gz").write_bytes(gzip.compress(listed.encode()))
    alone = read_corpus(root, split_sections=sections)
    assert [r.reason for r in alone.rejects] == ["empty report"]
    (reports / folder).parent.mkdir(parents=True)
    (reports / f"{folder}.txt").write_text("FINDINGS: Edema.")
    for given in (reports, reports / "files"):
        (study,) = read_corpus(root, split_sections=sections, report_root=given).studies
        assert (study.findings, study.view) == ("Edema.", "AP")
        assert [Path(i).name for i in study.images] == ["b.dcm", "c.dcm", "a.dcm"]
        assert not check_images([study], root=root).rejects
    lonely = read_corpus(reports, split_sections=sections)
    assert lonely.warnings == ("no image was found",), "reports without their images are not taken in silence"


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
    assert set(first.labels) == {"age", "sex", "image_views"}
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
