"""Bad records: each a reject with its reason, never the end of an import and never a guess."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.data import read_corpus
from medtrim.data.boundary import UnusableError, cell_text, check_text, decoded, file_bytes, path_text
from medtrim.errors import ConfigError, MedTrimError, TableError
from medtrim.types import Sections
from medtrim.types.tables import read_studies, studies_to_table

GOOD = {"study_id": "good", "patient_id": "p", "findings": "Clear."}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (float("nan"), ""), (" N/A ", ""), (5.0, "5"), (5, "5"), (0.5, "0.5"), (b"caf\xc3\xa9", "café")],
)
def test_a_cell_is_text(value, text):
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xd8", "byte 0xff"),
        (["a"], "a list"),
        ({"a": 1}, "an object"),
        (True, "a truth value"),
        ("a\x00b", "NUL"),
        ("\ud800", "lone surrogate U+D800"),
        ("\udce9", "byte 0xe9.*--encoding latin-1"),
    ],
)
def test_a_cell_that_is_no_text_is_refused(value, reason):
    with pytest.raises(UnusableError, match=reason.replace("+", r"\+")):
        cell_text(value)


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates and NUL too
ANY_CELL = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), ANY_TEXT, st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(ANY_TEXT, inner, max_size=2)),
    max_leaves=3,
)


def attempt(read, *arguments, **options):
    """What `read` gives, and the reason where it refuses; anything else that it raises fails the test."""
    try:
        return read(*arguments, **options), ""
    except (UnusableError, TableError) as error:
        return None, str(error)


@given(ANY_CELL)
def test_any_cell_is_clean_text_or_is_refused_without_being_quoted(value):
    for read in (cell_text, path_text):
        text, reason = attempt(read, value)
        if text is None:
            assert reason
            assert not isinstance(value, str) or len(value) < 4 or value not in reason
            continue
        check_text(text)
        assert text == text.strip() == read(text)
        assert read is cell_text or "\\" not in text


@given(st.binary(), st.sampled_from(["utf-8", "latin-1", "utf-16", "ascii", "cp1252", "idna", "nonsense"]))
def test_any_bytes_are_text_or_are_refused_by_the_name_of_the_encoding(content, encoding):
    text, reason = attempt(decoded, content, encoding)
    assert encoding in reason if text is None else isinstance(text, str)


@given(ANY_TEXT, st.integers(0, 3))
def test_any_name_of_a_file_is_read_or_refused(name, largest):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "there").write_bytes(b"12")
        for path in (Path(folder, name), Path(folder, "there")):
            content, reason = attempt(file_bytes, path, largest=largest)
            assert reason.startswith("file ") if content is None else len(content) <= largest


def test_windows_paths_have_slashes():
    assert path_text("images\\p1\\a.png") == "images/p1/a.png"


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert file_bytes(tmp_path / "f", largest=5) == b"12345"
    with pytest.raises(UnusableError, match="5 bytes, more than the 4"):
        file_bytes(tmp_path / "f", largest=4)
    os.mkfifo(tmp_path / "p")
    for path, reason in ((tmp_path / "p", "regular"), (tmp_path, "regular"), (tmp_path / "x", "missing")):
        with pytest.raises(UnusableError, match=reason):
            file_bytes(path, largest=5)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        (field, bad)
        for field in ("study_id", "patient_id", "findings", "image", "view")
        for bad in ("a\x00b", "\ud800", ["a"], {"a": 1}, True)
        if field not in ("image", "view") or bad != ["a"]  # these columns may hold a list
    ],
)
def test_a_bad_cell_of_any_column_is_a_reject_and_the_other_rows_are_read(tmp_path, field, bad):
    rows = [
        {**GOOD, "image": "a.png", "view": "PA"},
        {"study_id": "s", "patient_id": "q", "findings": "x", field: bad},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    reading = read_corpus(tmp_path / "t.jsonl")
    assert [s.study_id for s in reading.studies] == ["good"]
    (reject,) = reading.rejects
    assert reject.source == "t.jsonl:2"
    assert field in reject.reason
    assert "\x00" not in reject.study_id


def test_deep_json_is_a_reject(tmp_path):
    deep = '{"study_id": "s", "findings": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / "t.jsonl").write_text(f"{json.dumps(GOOD)}\n{deep}\n")
    reading = read_corpus(tmp_path / "t.jsonl")
    assert len(reading.studies) == 1
    assert [r.reason for r in reading.rejects] == ["malformed JSON (nested too deeply)"]
    (tmp_path / "t.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(TableError, match="nested too deeply"):
        read_corpus(tmp_path / "t.json")


@pytest.mark.parametrize("values", [[{}, {}], [{}, 1], [[{}], [{}]], [1, "a"], [True, 2], [2**70, 1]])
def test_labels_of_any_kind_fit_a_table(tmp_path, values):
    rows = [{**GOOD, "study_id": f"s{i}", "label": value} for i, value in enumerate(values)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    studies = read_corpus(tmp_path / "t.jsonl").studies
    pq.write_table(studies_to_table(studies), tmp_path / "out.parquet")
    assert len(read_studies(tmp_path / "out.parquet")) == len(values)


@pytest.mark.parametrize("text", ["1_000", "١٢٣", "007", "0x1f", "1e", "½"])
def test_only_plain_numbers_are_numbers(tmp_path, text):
    (tmp_path / "t.csv").write_text(f"study_id,patient_id,findings,label\ns,p,Clear.,{text}\n")
    assert read_corpus(tmp_path / "t.csv").studies[0].labels["label"] == text


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("-3", -3), ("0.50", 0.5), (".5", 0.5), ("1e-3", 0.001)])
def test_plain_numbers_are_numbers(tmp_path, text, number):
    (tmp_path / "t.csv").write_text(f"study_id,patient_id,findings,label\ns,p,Clear.,{text}\n")
    label = read_corpus(tmp_path / "t.csv").studies[0].labels["label"]
    assert label == number
    assert type(label) is type(number)


def test_blank_lines_above_the_header_are_passed_over(tmp_path):
    (tmp_path / "t.csv").write_text("\n  \nstudy_id,patient_id,findings\ns,p,Clear.\n")
    assert [s.study_id for s in read_corpus(tmp_path / "t.csv").studies] == ["s"]


def test_a_header_of_another_encoding_is_an_error_that_names_the_option(tmp_path):
    (tmp_path / "t.csv").write_bytes("study_id,patient_id,findings,fumé\ns,p,Clear.,1\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"header: byte 0xe9.*--encoding latin-1"):
        read_corpus(tmp_path / "t.csv")
    assert read_corpus(tmp_path / "t.csv", encoding="latin-1").studies[0].labels == {"fumé": 1}


def test_parquet_of_any_type_is_read_or_rejected(tmp_path):
    columns = {
        "study_id": pa.array(["a", "b"]),
        "patient_id": pa.array(["p", "q"]),
        "findings": pa.array([b"Clear.", b"\xff\xfe"], pa.binary()),
        "time": pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns")),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    reading = read_corpus(tmp_path / "t.parquet")
    assert [(s.findings, s.labels["time"]) for s in reading.studies] == [
        ("Clear.", "2023-11-14 22:13:20.000000001")
    ]
    assert "byte 0xff" in reading.rejects[0].reason
    doubled = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["study_id", "findings", "findings"])
    pq.write_table(doubled, tmp_path / "d.parquet")
    with pytest.raises(TableError, match="column 'findings' occurs more than once"):
        read_corpus(tmp_path / "d.parquet", patients="study")


def test_a_torn_parquet_names_the_file(tmp_path):
    pq.write_table(pa.table({k: [v] * 5000 for k, v in GOOD.items()}), tmp_path / "t.parquet")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[4:60] = bytes(56)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(TableError, match=r"t\.parquet"):
        read_corpus(tmp_path / "t.parquet")


def test_a_table_is_written_as_parquet_or_its_name_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("study_id,patient_id,findings\ns,p,Clear.\n")
    for command in (["data", "import", "t.csv"], ["annotate", "t.csv"], ["mine", "t.csv"]):
        result = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out.csv")])
        assert isinstance(result.exception, ConfigError)
        assert "out.parquet" in str(result.exception)


def test_import_refuses_a_patient_in_two_splits_whatever_the_split_option(tmp_path):
    (tmp_path / "t.csv").write_text("study_id,patient_id,findings,split\na,p,Clear.,train\nb,p,Edema.,test\n")
    for split in ("none", "train=0.8,val=0.1,test=0.1"):
        result = CliRunner().invoke(
            app, ["data", "import", str(tmp_path / "t.csv"), "-o", str(tmp_path / "s.parquet"), "--split", split]
        )
        assert isinstance(result.exception, TableError)
        assert "more than one split" in str(result.exception)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("study_id", "patient_id", "image", "view", "findings", "impression", "split", "label")


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), json_values), min_size=1, max_size=6))
def test_any_json_rows_are_studies_or_rejects_and_can_be_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in [dict.fromkeys(NAMES), *rows]))
        reading = read_corpus(path, split_sections=lambda text: Sections(findings=text))
        count = sum(len(s.images) or 1 for s in reading.studies)
        assert count + len(reading.rejects) >= len(rows)
        pq.write_table(studies_to_table(reading.studies), Path(folder) / "out.parquet")
        assert [s.study_id for s in read_studies(Path(folder) / "out.parquet")] == [
            s.study_id for s in reading.studies
        ]


@given(
    st.binary(max_size=300), st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx", ".csv.gz"])
)
def test_any_bytes_are_a_reading_or_an_error_of_ours(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        path.write_bytes(content)
        with suppress(MedTrimError):
            read_corpus(path, columns={"findings": "findings"}, patients="study")
