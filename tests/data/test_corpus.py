from __future__ import annotations

import csv
import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.data import read_corpus
from medtrim.data.boundary import EMPTY_CELLS
from medtrim.errors import ConfigError, TableError
from medtrim.types import Sections


def sections(text: str) -> Sections:
    """A splitter good enough for these tests: `F:` and `I:` lines."""
    parts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return Sections(parts.get("F", "").strip(), parts.get("I", "").strip())


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def reasons(reading) -> dict[str, str]:
    return {r.study_id: r.reason for r in reading.rejects}


TABLE = """study_id,patient_id,image,findings,impression,age
s1,p1,a.png,Small left effusion.,Effusion.,61
s2,p1,b.png,"Clear, lungs.",,
s3,p2,c.png,NaN,Normal.,7.5
"""


def test_csv_columns_labels_and_nan_cells(tmp_path):
    reading = read_corpus(write(tmp_path / "t.csv", TABLE))
    assert not reading.rejects
    first, second, third = reading.studies
    assert (first.study_id, first.patient_id, first.images) == ("s1", "p1", ("a.png",))
    assert second.findings == "Clear, lungs."
    assert (third.findings, third.impression) == ("", "Normal.")
    assert [s.labels["age"] for s in reading.studies] == [61.0, None, 7.5]


@pytest.mark.parametrize("kind", ["tsv", "semicolon", "gz", "bom", "utf16", "crlf"])
def test_csv_dialects_read_alike(tmp_path, kind):
    plain = read_corpus(write(tmp_path / "t.csv", TABLE))
    if kind == "tsv":
        rows = (
            TABLE.replace('"Clear, lungs."', "Clear; lungs.")
            .replace(",", "\t")
            .replace("Clear; lungs", "Clear, lungs")
        )
        path = write(tmp_path / "u.tsv", rows)
    elif kind == "semicolon":
        rows = TABLE.replace('"Clear, lungs."', "@").replace(",", ";").replace("@", "Clear, lungs.")
        path = write(tmp_path / "u.csv", rows)
    elif kind == "gz":
        path = tmp_path / "u.csv.gz"
        path.write_bytes(gzip.compress(TABLE.encode()))
    elif kind == "bom":
        path = write(tmp_path / "u.csv", TABLE, "utf-8-sig")
    elif kind == "utf16":
        path = write(tmp_path / "u.csv", TABLE, "utf-16")
    else:
        path = write(tmp_path / "u.csv", TABLE.replace("\n", "\r\n"))
    assert read_corpus(path).studies == plain.studies


def test_parquet_and_jsonl_equal_csv(tmp_path):
    rows = [
        {"study_id": "s1", "patient_id": 7.0, "images": ["a.png", "b.png"], "report": "F: x.\nI: y.", "score": 1},
        {"study_id": "s2", "patient_id": 8.0, "images": None, "report": "F: z.", "score": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    write(tmp_path / "t.jsonl", "\n".join(json.dumps(r) for r in rows))
    write(tmp_path / "t.json", json.dumps(rows))
    readings = [
        read_corpus(tmp_path / name, split_sections=sections) for name in ("t.parquet", "t.jsonl", "t.json")
    ]
    for reading in readings:
        assert reading.studies == readings[0].studies
        assert not reading.rejects
    study = readings[0].studies[0]
    assert (study.patient_id, study.images, study.findings, study.impression) == (
        "7",
        ("a.png", "b.png"),
        "x.",
        "y.",
    )


def test_every_bad_row_is_a_reject_and_the_rest_is_read(tmp_path):
    text = (
        "study_id,patient_id,image,findings\n"
        "good,p1,a.png,Fine.\n"
        "empty,p1,b.png,\n"
        ",p1,c.png,Text.\n"
        "nobody,,d.png,Text.\n"
        "good,p1,e.png,Another report.\n"
        "short,p1\n"
        "good,p1,a.png,Fine.\n"
        "last,p2,f.png,Text.\n"
    )
    reading = read_corpus(write(tmp_path / "t.csv", text))
    assert [s.study_id for s in reading.studies] == ["good", "last"]
    assert [(r.study_id, r.source, r.reason) for r in reading.rejects] == [
        ("empty", "t.csv:3", "empty report"),
        ("", "t.csv:4", "no study id"),
        ("nobody", "t.csv:5", "no patient id"),
        ("good", "t.csv:6", "duplicate study id, first at t.csv:2"),
        ("short", "t.csv:7", "row has 2 cells, the header 4"),
        ("good", "t.csv:8", "duplicate study id, first at t.csv:2"),
    ]


def test_rows_of_one_study_with_other_images_are_merged(tmp_path):
    text = "study_id,patient_id,image,findings\ns,p,a.png,Fine.\ns,p,b.png,Fine.\n"
    reading = read_corpus(write(tmp_path / "t.csv", text))
    assert [s.images for s in reading.studies] == [("a.png", "b.png")]
    assert not reading.rejects


def test_bytes_of_another_encoding_reject_their_row_only(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"study_id,patient_id,findings\ns1,p1,fine\ns2,p2,\xe9panchement\n")
    reading = read_corpus(path)
    assert [s.study_id for s in reading.studies] == ["s1"]
    assert "0xe9" in reasons(reading)["s2"]
    assert [s.findings for s in read_corpus(path, encoding="latin-1").studies] == ["fine", "épanchement"]
    with pytest.raises(TableError, match="unknown encoding"):
        read_corpus(path, encoding="klingon")


def test_utf16_without_mark_is_an_error_that_says_so(tmp_path):
    with pytest.raises(TableError, match="encoding"):
        read_corpus(write(tmp_path / "t.csv", TABLE, "utf-16-le"))


def test_missing_columns_are_named_with_those_found(tmp_path):
    path = write(tmp_path / "t.csv", "id,words\n1,x\n")
    with pytest.raises(TableError, match=r"study_id.*patient_id.*findings, impression or text.*found: id, words"):
        read_corpus(path)
    with pytest.raises(TableError, match="'wordz'.*'words' meant"):
        read_corpus(path, columns={"findings": "wordz"})
    with pytest.raises(ConfigError, match="unknown field 'report'"):
        read_corpus(path, columns={"report": "words"})
    mapped = read_corpus(path, columns={"study_id": "id", "findings": "words"}, patients="study")
    assert [(s.study_id, s.patient_id, s.findings) for s in mapped.studies] == [("1", "1", "x")]


def test_label_under_a_mapped_columns_name_is_renamed(tmp_path):
    path = write(tmp_path / "t.csv", "study_id,patient_id,findings,note\ns,p,COVID,Opacity.\n")
    study = read_corpus(path, columns={"findings": "note"}).studies[0]
    assert study.findings == "Opacity."
    assert study.labels == {"source_findings": "COVID"}


def test_study_named_by_its_image_where_no_column_names_it(tmp_path):
    distinct = write(tmp_path / "t.csv", "patient,path,findings\np,x/a.png,f\np,y/b.png,g\n")
    assert [s.study_id for s in read_corpus(distinct).studies] == ["a", "b"]
    repeated = write(tmp_path / "u.csv", "patient,path,findings\np,x/a.png,f\np,y/a.png,g\n")
    assert [s.study_id for s in read_corpus(repeated).studies] == ["x/a", "y/a"]


def test_labels_have_one_type_a_column(tmp_path):
    text = "study_id,patient_id,findings,n,code,mixed\na,p,x,1,007,1\nb,p,x,2,008,one\n"
    labels = [s.labels for s in read_corpus(write(tmp_path / "t.csv", text)).studies]
    assert labels[0] == {"n": 1, "code": "007", "mixed": "1"}
    lines = '{"study_id": "a", "findings": "x", "v": 1}\n{"study_id": "b", "findings": "x", "v": "one"}\n'
    labels = [s.labels for s in read_corpus(write(tmp_path / "t.jsonl", lines), patients="study").studies]
    assert labels == [{"v": "1"}, {"v": "one"}]


def test_malformed_json_lines_are_rejects(tmp_path):
    text = '{"study_id": "a", "findings": "x"}\n{"study_id": \n[1]\n{"study_id": "b", "findings": "y"}\n'
    reading = read_corpus(write(tmp_path / "t.jsonl", text), patients="study")
    assert [s.study_id for s in reading.studies] == ["a", "b"]
    assert [r.source for r in reading.rejects] == ["t.jsonl:2", "t.jsonl:3"]


def test_mimic_folder_of_texts(tmp_path):
    folder = tmp_path / "files" / "p10" / "p10000032"
    (folder / "s1").mkdir(parents=True)
    (folder / "s1" / "b.jpg").touch()
    (folder / "s1" / "a.dcm").touch()
    write(folder / "s1.txt", "F: clear.\nI: normal.")
    write(folder / "s2.txt", "No headings here")
    write(folder / "s3.txt", "")
    (folder / "s4.txt").write_bytes(b"F: \xff\xfe")
    reading = read_corpus(tmp_path, split_sections=sections, image_root="/data")
    assert [s.study_id for s in reading.studies] == ["s1"]
    study = reading.studies[0]
    assert study.patient_id == "p10000032"
    assert study.images[0] == "/data/files/p10/p10000032/s1/a.dcm"
    assert reasons(reading)["s2"] == "report has neither a findings nor an impression section"
    assert reasons(reading)["s3"] == "empty report"
    assert "0xff" in reasons(reading)["s4"]


def test_whole_reports_need_a_section_splitter(tmp_path):
    write(tmp_path / "s1.txt", "F: clear.")
    with pytest.raises(ConfigError, match="split_sections"):
        read_corpus(tmp_path, patients="study")


def test_paths_that_hold_no_corpus(tmp_path):
    with pytest.raises(TableError, match="does not exist"):
        read_corpus(tmp_path / "none.csv")
    with pytest.raises(TableError, match="no reports found"):
        read_corpus(tmp_path)
    with pytest.raises(TableError, match="neither a table nor an archive"):
        read_corpus(write(tmp_path / "x.docx", "x"))
    with pytest.raises(TableError, match="no header"):
        read_corpus(write(tmp_path / "x.csv", ""))
    with pytest.raises(TableError, match="Parquet"):
        read_corpus(write(tmp_path / "x.parquet", "x"))
    with pytest.raises(ConfigError, match="layout"):
        read_corpus(tmp_path, layout="fax")  # type: ignore[arg-type]


def test_real_covid_notes_are_free_text(shared):
    manifest = shared / "data" / "covid_cxr" / "manifest.csv"
    with manifest.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    reading = read_corpus(manifest, columns={"findings": "text"})
    assert len(reading.studies) == sum(bool(row["text"].strip()) for row in rows)
    assert len(reading.studies) + len(reading.rejects) == len(rows)
    assert {r.reason for r in reading.rejects} == {"empty report"}
    assert all(s.patient_id and s.images for s in reading.studies)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_any_text_survives_every_table_format(texts):
    expected = [t.strip() for t in texts]
    rows = [{"study_id": f"s{i}", "patient_id": "p", "findings": t} for i, t in enumerate(texts)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "t.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        (folder / "t.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
        pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
        for file in ("t.csv", "t.jsonl", "t.parquet"):
            reading = read_corpus(folder / file)
            kept = {s.study_id: s.findings for s in reading.studies}
            wanted = {f"s{i}": t for i, t in enumerate(expected) if t.lower() not in EMPTY_CELLS}
            assert kept == wanted
            assert {r.reason for r in reading.rejects} <= {"empty report"}
