"""Public archives on small trees in their documented layout, with phantoms as films."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.data import ImageCache, check_images, read_corpus
from medtrim.data.layout import layout_names, load_layout
from medtrim.data.phantom import make_corpus
from medtrim.entities import split_sections
from medtrim.errors import ConfigError
from medtrim.evaluation.truth import annotations_of_column
from medtrim.types import Study
from medtrim.types.tables import read_studies

Film = Callable[[str], Path]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    make_corpus(6, folder, size=32)
    return sorted((folder / "images").glob("*.png"))


@pytest.fixture
def film(drawn, tmp_path) -> Film:
    """Put a phantom at a path below the root of the archive."""
    used = iter(range(100))

    def put(path: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn[next(used) % len(drawn)], file)
        return file

    return put


def table(path: Path, header: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def read(path: Path, root: Path | None = None, **options) -> list[Study]:
    """The studies that `path` gives, each image of which must be there and decode."""
    reading = read_corpus(path, split_sections=split_sections, **options)
    assert not reading.rejects
    checked = check_images(reading.studies, root=root or path)
    assert not checked.rejects
    assert checked.studies == reading.studies
    return list(checked.studies)


CHEXPERT = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Pleural Effusion,Support Devices"


def test_chexpert_keeps_labels_without_reports(film, tmp_path):
    for name in ("train/patient00001/study1/view1_frontal.jpg", "train/patient00001/study1/view2_lateral.jpg"):
        film(name)
    film("valid/patient64541/study1/view1_frontal.jpg")
    prefix = "CheXpert-v1.0-small/train/patient00001/study1"
    table(
        tmp_path / "train.csv",
        CHEXPERT,
        f"{prefix}/view2_lateral.jpg,Female,68,Lateral,,,1.0,-1.0,0.0,",
        f"{prefix}/view1_frontal.jpg,Female,68,Frontal,AP,,1.0,-1.0,0.0,",
    )
    valid = "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"
    table(tmp_path / "valid.csv", CHEXPERT, f"{valid},Male,73,Frontal,PA,1.0,0.0,0.0,0.0,1.0")
    first, second = read(tmp_path)
    assert (first.study_id, first.patient_id, first.split) == ("patient00001/study1", "patient00001", "train")
    assert [Path(i).name for i in first.images] == ["view1_frontal.jpg", "view2_lateral.jpg"]
    assert (first.view, first.labels["image_views"]) == ("AP", ["AP", "LATERAL"])
    assert (first.report, first.labels["Age"], first.labels["Cardiomegaly"]) == ("", 68, 1.0)
    assert (second.split, second.view) == ("val", "PA")
    found = {f["disease"]: f["assertion"] for f in first.labels["truth"]}
    assert found == {"cardiomegaly": "present", "edema": "uncertain", "pleural effusion": "absent"}


def test_labels_serve_as_truth_after_import(film, tmp_path):
    test_chexpert_keeps_labels_without_reports(film, tmp_path)
    output = tmp_path / "studies.parquet"
    result = CliRunner().invoke(app, ["data", "import", str(tmp_path), "-o", str(output), "--strict"])
    assert result.exit_code == 0, result.output
    assert [s.report for s in read_studies(output)] == ["", ""]
    assert [s.report for s in read_corpus(output).studies] == ["", ""], "other commands read them too"
    first, second = annotations_of_column(output, "truth")
    assert [(f.disease, f.assertion) for f in first.findings] == [
        ("cardiomegaly", "present"),
        ("edema", "uncertain"),
        ("pleural effusion", "absent"),
    ]
    assert {f.assertion for f in second.findings} == {"absent"}


def test_chestx_ray14_finds_images_in_its_folders_and_follows_the_official_lists(film, tmp_path):
    film("images_001/images/00000001_000.png")
    film("images_012/images/00000002_000.png")
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    table(
        tmp_path / "Data_Entry_2017.csv",
        header,
        "00000001_000.png,Cardiomegaly|Effusion,0,1,58,M,PA,2682,2749,0.143,0.143,",
        "00000002_000.png,No Finding,0,2,81,M,AP,2500,2048,0.171,0.171,",
    )
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    first, second = read(tmp_path)
    assert (first.study_id, first.patient_id, first.split, first.view) == ("00000001_000", "1", "train", "PA")
    assert first.images == ("images_001/images/00000001_000.png",)
    assert second.images == ("images_012/images/00000002_000.png",)
    assert (first.labels["Finding Labels"], second.split) == (["Cardiomegaly", "Effusion"], "test")
    assert [f["disease"] for f in first.labels["truth"]] == ["cardiomegaly", "pleural effusion"]
    assert second.labels["truth"] == []


def test_padchest_joins_folder_and_name_and_says_that_it_is_spanish(film, tmp_path):
    film("0/a_00-001.png")
    film("14/b_00-002.png")
    header = (
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
        "Projection,MethodProjection,Pediatric,ReportID,Report,MethodLabel,Labels,Localizations,"
        "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
    )
    path = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    labels = "\"['pleural effusion', 'cardiomegaly']\",\"['loc left']\",,,"
    table(
        path,
        header,
        f"0,b_00-002.png,14,2014,1.8e38x,8398604,1930,F,LATERAL,L,Manual,No,47,derram pleural .,Physician,{labels}",
        f"1,a_00-001.png,0,2014,1.8e38x,8398604,1930,F,,PA,Manual,No,47,derram pleural .,Physician,{labels}",
        f"2,c_00-003.png,0,2014,77,83,1930,F,,EXCLUDE,Manual,No,4,x,Physician,{labels}",
    )
    reading = read_corpus(tmp_path, split_sections=split_sections)
    (study,) = reading.studies
    assert [r.reason for r in reading.rejects] == ["Projection is EXCLUDE"]
    assert (study.study_id, study.patient_id) == ("1.8e38x", "8398604")
    assert study.images == ("0/a_00-001.png", "14/b_00-002.png")
    assert study.labels["image_views"] == ["PA", "LATERAL"]
    assert (study.findings, study.labels["Labels"]) == ("derram pleural .", ["pleural effusion", "cardiomegaly"])
    assert "spanish.yaml" in reading.notes[0]
    assert not check_images(reading.studies, root=tmp_path).rejects


INDIANA = "uid,MeSH,Problems,image,indication,comparison,findings,impression"


def test_openi_of_kaggle_is_joined_and_its_frontal_images_lead(film, tmp_path):
    for name in ("1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png"):
        film(f"images/images_normalized/{name}")
    table(
        tmp_path / "indiana_reports.csv",
        INDIANA,
        '1,normal,normal,Xray Chest PA and Lateral,Positive TB test,None.,Lungs "clear",Normal chest',
    )
    table(
        tmp_path / "indiana_projections.csv",
        "uid,filename,projection",
        "1,1_IM-0001-3001.dcm.png,Lateral",
        "1,1_IM-0001-4001.dcm.png,Frontal",
    )
    (study,) = read(tmp_path)
    assert (study.study_id, study.patient_id, study.view) == ("CXR1", "CXR1", "FRONTAL")
    assert [Path(i).name for i in study.images] == ["1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png"]
    assert read(tmp_path / "indiana_reports.csv", tmp_path) == [study], "the table alone says the same"


XML = """<eCitation><uId id="CXR1"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">Clear.</AbstractText></Abstract></Article></MedlineCitation>
<parentImage id="CXR1_1_IM-0001-3001"/><parentImage id="CXR1_1_IM-0001-4001"/></eCitation>"""


def test_openi_takes_png_files_beside_its_reports_and_views_from_the_projections(film, tmp_path):
    (tmp_path / "1.xml").write_text(XML)
    for number in (3001, 4001):
        film(f"CXR1_1_IM-0001-{number}.png")
    (study,) = read(tmp_path)
    assert study.images == ("CXR1_1_IM-0001-3001.png", "CXR1_1_IM-0001-4001.png")
    table(
        tmp_path / "indiana_projections.csv",
        "uid,filename,projection",
        "1,1_IM-0001-3001.dcm.png,Lateral",
        "1,1_IM-0001-4001.dcm.png,Frontal",
    )
    (study,) = read(tmp_path)
    assert (study.images[0], study.view) == ("CXR1_1_IM-0001-4001.png", "FRONTAL")


def test_r2gen_iu_xray(film, tmp_path):
    for i in (0, 1):
        film(f"images/CXR2384_IM-0942/{i}.png")
    record = {
        "id": "CXR2384_IM-0942",
        "report": "The heart is normal . no effusion .",
        "image_path": ["CXR2384_IM-0942/0.png", "CXR2384_IM-0942/1.png"],
        "split": "val",
    }
    (tmp_path / "annotation.json").write_text(json.dumps({"train": [], "val": [record], "test": []}))
    (study,) = read(tmp_path)
    assert (study.study_id, study.patient_id, study.split) == ("CXR2384_IM-0942", "CXR2384", "val")
    assert study.findings == "The heart is normal . no effusion ."
    assert len(study.images) == 2


def test_r2gen_mimic_joins_the_images_of_a_study(film, tmp_path):
    folder = "p10/p10000032/s50414267"
    records = []
    for name in ("a", "b"):
        film(f"images/{folder}/{name}.jpg")
        records.append(
            {
                "id": name,
                "study_id": 50414267,
                "subject_id": 10000032,
                "report": "No edema .",
                "image_path": [f"{folder}/{name}.jpg"],
                "split": "train",
            }
        )
    path = tmp_path / "mimic_annotation_all.json"
    path.write_text(json.dumps({"train": records, "val": [], "test": []}))
    (study,) = read(path, tmp_path)
    assert (study.study_id, study.patient_id, len(study.images)) == ("s50414267", "p10000032", 2)


def test_rexgradient_reads_every_split_with_views(film, tmp_path):
    film("deid_png/P1/A1/studies/1/series/1/instances/x.png")
    film("deid_png/P1/A1/studies/1/series/2/instances/y.png")
    film("deid_png/P2/A2/studies/2/series/1/instances/z.png")

    def entry(patient: str, views: list[str], *paths: str) -> dict[str, object]:
        return {
            "PatientID": patient,
            "StudyInstanceUid": "1.2",
            "Findings": "Clear.",
            "Impression": "Normal.",
            "Indication": "Cough",
            "PatientAge": "040Y",
            "ImagePath": [f"../deid_png/{p}" for p in paths],
            "ImageViewPosition": views,
        }

    one = "P1/A1/studies/1/series"
    train = {"P1_A1_1": entry("P1", ["LATERAL", "PA"], f"{one}/1/instances/x.png", f"{one}/2/instances/y.png")}
    test = {"P2_A2_2": entry("P2", ["AP"], "P2/A2/studies/2/series/1/instances/z.png")}
    (tmp_path / "metadata").mkdir()
    for split, records in (("train", train), ("test", test)):
        (tmp_path / "metadata" / f"{split}_metadata_view_position.json").write_text(json.dumps(records))
    first, second = read(tmp_path)
    assert (first.study_id, first.patient_id, first.split, second.split) == ("P1_A1_1", "P1", "train", "test")
    assert (Path(first.images[0]).name, first.view) == ("y.png", "PA")
    assert first.labels["PatientAge"] == "040Y"
    assert "Indication" not in first.labels
    (again,) = read(tmp_path / "metadata" / "test_metadata_view_position.json", tmp_path, image_root=tmp_path)
    assert again.study_id == second.study_id


def test_rexgradient_csv_has_reports_and_says_that_it_names_no_images(tmp_path):
    header = "id,StudyInstanceUid,AccessionNumber,PatientSex,Indication,Comparison,Findings,Impression"
    table(tmp_path / "train_metadata.csv", header, "P1_A1_1,1.2,A1,F,Cough,None,Clear.,Normal.")
    reading = read_corpus(tmp_path / "train_metadata.csv")
    assert [(s.study_id, s.patient_id, s.split, s.findings) for s in reading.studies] == [
        ("P1_A1_1", "P1", "train", "Clear.")
    ]
    assert reading.warnings == ("no image was found",)
    assert "view_position.json" in reading.notes[0]


def test_images_inside_a_hugging_face_table_become_files(drawn, tmp_path):
    content = [f.read_bytes() for f in drawn[:3]]
    rows = {
        "image": [{"bytes": c, "path": f"{i}.png"} for i, c in enumerate(content)],
        "report": ["FINDINGS: Clear.", "FINDINGS: Edema.", "FINDINGS: Effusion."],
    }
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    output = tmp_path / "out" / "studies.parquet"
    options = ["--patients", "study", "--split", "none", "--strict"]
    for _ in range(2):
        result = CliRunner().invoke(
            app, ["data", "import", str(tmp_path / "train.parquet"), "-o", str(output), *options]
        )
        assert result.exit_code == 0, result.output
    studies = read_studies(output)
    assert [s.findings for s in studies] == ["Clear.", "Edema.", "Effusion."]
    assert [(output.parent / s.images[0]).read_bytes() for s in studies] == content
    assert len(list((tmp_path / "out" / "studies.images").iterdir())) == 3, "importing again adds nothing"
    reading = read_corpus(tmp_path / "train.parquet", split_sections=split_sections, patients="study")
    assert {r.reason for r in reading.rejects} == {
        "image: the table holds the image itself; `medtrim data import` writes it to a file"
    }


def test_views_are_chosen_and_a_study_without_is_a_reject(film, tmp_path):
    test_chexpert_keeps_labels_without_reports(film, tmp_path)
    lateral = read_corpus(tmp_path, view="lateral")
    assert [(s.study_id, s.view, len(s.images)) for s in lateral.studies] == [("patient00001/study1", "LATERAL", 1)]
    assert [(r.study_id, r.reason) for r in lateral.rejects] == [
        ("patient64541/study1", "no lateral image (views: PA)")
    ]
    frontal = read_corpus(tmp_path, view="frontal")
    assert [(s.view, len(s.images)) for s in frontal.studies] == [("AP", 1), ("PA", 1)]
    with pytest.raises(ConfigError, match="view must be one of all, frontal, lateral"):
        read_corpus(tmp_path, view="oblique")


def test_the_cache_holds_the_view_that_was_imported(film, tmp_path):
    test_chexpert_keeps_labels_without_reports(film, tmp_path)
    for view, names in (("lateral", ["view2_lateral"]), ("frontal", ["view1_frontal", "view1_frontal"])):
        output = tmp_path / f"{view}.parquet"
        run = CliRunner().invoke(app, ["data", "import", str(tmp_path), "-o", str(output), "--view", view])
        assert run.exit_code == 0, run.output
        for every in (False, True):
            cache, _ = ImageCache.build(
                read_studies(output), root=tmp_path, size=16, path=tmp_path / f"{view}{every}", every_image=every
            )
            assert [Path(entry.source).stem for entry in cache.entries()] == names


def test_the_view_follows_the_image_that_is_used(film, tmp_path):
    test_chexpert_keeps_labels_without_reports(film, tmp_path)
    (tmp_path / "train/patient00001/study1/view1_frontal.jpg").write_bytes(b"torn")
    checked = check_images(read_corpus(tmp_path).studies, root=tmp_path)
    first = checked.studies[0]
    assert (first.view, [Path(i).name for i in first.images]) == ("LATERAL", ["view2_lateral.jpg"])
    assert first.labels["image_views"] == ["LATERAL"]


def test_an_excel_sheet_and_a_tab_separated_table_read_alike(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    rows = [["study_id", "patient_id", "findings", "age"], ["s1", 7, "Clear.", 61], ["s2", 8, "Edema.", None]]
    book = openpyxl.Workbook()
    for row in [[None] * 4, *rows]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with (tmp_path / "t.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(rows)
    excel, tabs = (read_corpus(tmp_path / name).studies for name in ("t.xlsx", "t.tsv"))
    assert excel == tabs
    assert (excel[0].patient_id, excel[0].labels["age"], excel[1].labels["age"]) == ("7", 61, None)


def test_every_described_layout_is_valid_and_has_a_source():
    for name in layout_names():
        assert load_layout(name).title
    with pytest.raises(ConfigError, match="described are chestx-ray14, chexpert"):
        load_layout("fax")
