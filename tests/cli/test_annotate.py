"""`medtrim annotate`: every input, rejects, strictness, overlays, comparison."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.entities import load_ontology
from medtrim.errors import MedTrimError
from medtrim.types import Provenance, Study
from medtrim.types.schemas import ANNOTATIONS, REJECTS
from medtrim.types.tables import provenance_of, read_annotations, read_table, studies_to_table, write_table

RUNNER = CliRunner()
XML = """<eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText></Abstract></Article></MedlineCitation></eCitation>"""


def annotate(reports: Path, output: Path, *options: str) -> str:
    result = RUNNER.invoke(app, ["annotate", str(reports), "-o", str(output), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_csv(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study_id", "patient_id", "findings", "impression"])
        writer.writerow(["a", "1", "Small left pleural effusion.", "No pneumothorax."])
        writer.writerow(["b", "2", "", ""])
        writer.writerow(["c", "3", "Mild cardiomegaly.", ""])
    return path


def found(path: Path) -> dict[str, list[tuple[str, str]]]:
    return {a.study_id: [(f.disease, f.assertion) for f in a.findings] for a in read_annotations(path)}


EXPECTED = {
    "a": [("pleural effusion", "present"), ("pneumothorax", "absent")],
    "c": [("cardiomegaly", "present")],
}


def test_csv_with_rejects_beside_the_output(tmp_path: Path) -> None:
    output = tmp_path / "out" / "annotations.parquet"
    printed = annotate(write_csv(tmp_path / "r.csv"), output)
    assert found(output) == EXPECTED
    assert "2 reports" in printed
    rejects = read_table(output.with_name("annotations.rejects.parquet"), REJECTS, table="rejects").to_pylist()
    assert [(r["study_id"], r["reason"]) for r in rejects] == [("b", "empty report")]
    assert "effusion" not in json.dumps(rejects)


def test_strict_exits_one_after_writing_what_could_be_used(tmp_path: Path) -> None:
    output = tmp_path / "annotations.parquet"
    result = RUNNER.invoke(app, ["annotate", str(write_csv(tmp_path / "r.csv")), "-o", str(output), "--strict"])
    assert result.exit_code == 1
    assert found(output) == EXPECTED


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        json.dumps({"study_id": "a", "findings": "Small left effusion", "impression": "No pneumothorax"})
    )
    annotate(path, tmp_path / "o.parquet")
    assert found(tmp_path / "o.parquet") == {"a": EXPECTED["a"]}


def test_a_folder_of_reports_with_sections(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "p10"
    folder.mkdir(parents=True)
    (folder / "s1.txt").write_text(
        "HISTORY: pneumonia\n\nFINDINGS: Small effusion.\n\nIMPRESSION: No pneumothorax."
    )
    annotate(tmp_path / "files", tmp_path / "o.parquet")
    (findings,) = found(tmp_path / "o.parquet").values()
    assert findings == EXPECTED["a"]


@pytest.mark.parametrize("archived", [False, True])
def test_openi_as_folder_and_archive(tmp_path: Path, archived: bool) -> None:
    document = XML.format(n=4, findings="Small effusion.", impression="No pneumothorax.").encode()
    source = tmp_path / "openi"
    if archived:
        source = tmp_path / "openi.tgz"
        with tarfile.open(source, "w:gz") as tar:
            info = tarfile.TarInfo("ecgen/4.xml")
            info.size = len(document)
            tar.addfile(info, io.BytesIO(document))
    else:
        source.mkdir()
        (source / "4.xml").write_bytes(document)
    annotate(source, tmp_path / "o.parquet")
    assert found(tmp_path / "o.parquet") == {"CXR4": EXPECTED["a"]}


def studies_table(tmp_path: Path) -> Path:
    path = tmp_path / "studies.parquet"
    studies = [
        Study("a", "1", findings=" Small left effusion. ", impression="No pneumothorax."),
        Study("c", "3", findings="Mild cardiomegaly."),
        Study("empty", "4"),
        Study("c", "5", findings="Edema."),
        Study("nul", "6", findings="Ede\x00ma."),
    ]
    write_table(studies_to_table(studies), path, Provenance("studies"))
    return path


def test_a_studies_table_is_streamed_and_offsets_fit_its_trimmed_sections(tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    annotate(studies_table(tmp_path), output)
    assert found(output) == EXPECTED
    assert read_annotations(output)[0].findings[0].mentions[0].start == 0
    rejects = read_table(tmp_path / "o.rejects.parquet", REJECTS, table="rejects").to_pylist()
    assert [(r["study_id"], r["reason"]) for r in rejects] == [
        ("empty", "report has neither a findings nor an impression section"),
        ("c", "duplicate study id"),
        ("nul", "report holds NUL characters: wrong encoding"),
    ]


def test_the_table_names_the_overlaid_ontology(tmp_path: Path) -> None:
    overlay = tmp_path / "site.yaml"
    overlay.write_text("name: site\nversion: '3'\nfindings: {pleural effusion: {terms: [wet rim]}}")
    path = tmp_path / "r.csv"
    path.write_text("study_id,patient_id,findings,impression\na,1,Left wet rim.,\n")
    annotate(path, tmp_path / "o.parquet", "--ontology", str(overlay))
    made = provenance_of(read_table(tmp_path / "o.parquet", ANNOTATIONS, table="annotations"))
    assert made is not None
    assert made.ontology == load_ontology(overlay).ref
    assert found(tmp_path / "o.parquet") == {"a": [("pleural effusion", "present")]}


def test_compare_lists_disagreements_with_text(tmp_path: Path) -> None:
    reports = write_csv(tmp_path / "r.csv")
    annotate(reports, tmp_path / "old.parquet")
    overlay = tmp_path / "site.yaml"
    overlay.write_text("findings: {pleural effusion: {remove: [effusion, pleural effusion]}}")
    options = ("--ontology", str(overlay), "--compare", str(tmp_path / "old.parquet"))
    printed = annotate(reports, tmp_path / "new.parquet", *options)
    assert "2 findings agree, 1 do not" in printed
    assert "only there" in printed
    rows = pq.read_table(tmp_path / "new.disagreements.parquet").to_pylist()
    assert rows == [
        {
            "study_id": "a",
            "disease": "pleural effusion",
            "differs": ["only there"],
            "ours": None,
            "theirs": "present small left",
        }
    ]
    assert "pleural" in printed


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MedTrimError, match="does not exist"):
        RUNNER.invoke(
            app, ["annotate", str(tmp_path / "none"), "-o", str(tmp_path / "o.parquet")], catch_exceptions=False
        )
