from __future__ import annotations

from collections import Counter

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

import medtrim
from medtrim.errors import ConfigError, TableError
from medtrim.types import Study
from medtrim.types.sources import load_annotations

TEXTS = ["Small left pleural effusion. No pneumothorax.", "The lungs are clear.", "Mild edema."]


def test_any_column_gives_the_same_table():
    expected = medtrim.annotate(TEXTS, study_ids=["7", "8", "9"])
    assert expected["study_id"].to_pylist() == ["7", "8", "9"]
    for column, ids in (
        (pandas.Series(TEXTS), pandas.Series([7, 8, 9])),
        (pandas.Series(TEXTS, index=[7, 8, 9]), None),
        (pandas.Series(TEXTS, dtype="category"), ["7", "8", "9"]),
        (pandas.Series(TEXTS, dtype=object), np.array([7, 8, 9])),
        (polars.Series(TEXTS), polars.Series([7, 8, 9])),
        (pa.array(TEXTS, pa.large_string()), pa.array(["7", "8", "9"])),
        (pa.chunked_array([TEXTS[:1], TEXTS[1:]]), [7, 8, 9]),
        (pa.array(TEXTS).dictionary_encode(), [7, 8, 9]),
        ((text for text in TEXTS), range(7, 10)),
    ):
        assert medtrim.annotate(column, study_ids=ids).equals(expected)
    assert medtrim.annotate(TEXTS)["study_id"].to_pylist() == ["0", "1", "2"]


def test_findings_are_those_of_the_recogniser():
    table = medtrim.annotate(TEXTS, study_ids=["a", "b", "c"])
    recognizer = medtrim.Recognizer()
    expected = [recognizer.annotate(Study(i, "", findings=t)) for i, t in zip("abc", TEXTS, strict=True)]
    assert list(load_annotations(table).annotations) == expected
    flat = medtrim.findings_table(table).to_pylist()
    rows = [(a.study_id, f) for a in expected for f in a.findings]
    assert all(row["read"] for row in flat)
    flat = [row for row in flat if row["disease"] is not None]
    assert len(flat) == len(rows)
    for row, (study_id, finding) in zip(flat, rows, strict=True):
        assert (row["study_id"], row["disease"], row["assertion"]) == (study_id, finding.disease, finding.assertion)
        assert (tuple(row["adjectives"]), tuple(row["directions"])) == (finding.adjectives, finding.directions)
        text = TEXTS["abc".index(study_id)]
        assert text[row["start"] : row["end"]] == row["text"]
    assert load_annotations(table).provenance.ontology == medtrim.load_ontology().ref


def test_a_report_without_a_finding_has_one_row_of_nulls():
    texts = ["The lungs are clear.", "Left effusion. No edema.", "Thank you for this referral.", "Edema."]
    table = medtrim.findings_table(medtrim.annotate(texts))
    flat = table.to_pandas()
    assert flat["study_id"].tolist() == ["0", "1", "1", "2", "3"]
    assert flat["disease"].isna().tolist() == [True, False, False, True, False]
    assert flat.loc[flat["disease"].isna()].drop(columns=["study_id", "read"]).isna().all(axis=None)
    assert flat["read"].tolist() == [True, True, True, False, True]
    assert set(flat["study_id"]) == {"0", "1", "2", "3"}
    nothing = medtrim.findings_table(medtrim.annotate(["The lungs are clear."]))
    assert (nothing.num_rows, nothing["disease"].to_pylist(), nothing.schema) == (1, [None], table.schema)


def test_a_file_is_read_as_the_command_reads_it(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("uid,report\nx,Left effusion.\ny,Clear.\n")
    found = medtrim.annotate(path)
    assert found["study_id"].to_pylist() == ["x", "y"]
    other = tmp_path / "o.csv"
    other.write_text("nr,words\nx,Left effusion.\ny,\n")
    columns = {"study_id": "nr", "text": "words"}
    with pytest.raises(TableError, match="1 of 2 reports cannot be read, the first: study 'y'"):
        medtrim.annotate(str(other), columns=columns)
    assert medtrim.annotate(other, columns=columns, empty="drop")["study_id"].to_pylist() == ["x"]
    with pytest.raises(TableError, match=r"does not exist; texts themselves are given as a list"):
        medtrim.annotate("Left effusion.")


def test_what_cannot_be_read_is_said():
    for reports, ids, message in (
        (["Clear.", None, ""], None, "2 of 3 reports cannot be read, the first: study '1'"),
        (["Clear.", float("nan")], None, "study '1'"),
        (pandas.Series(["Clear.", None]), None, "study '1'"),
        (["HISTORY: pain."], ["a"], "study 'a' .neither a findings nor"),
        (TEXTS, ["a", "a", "b"], "1 duplicate study id.s.: 'a'"),
        (TEXTS, ["a", None, "b"], r"row 1 \(no study id\)"),
        (TEXTS, ["a", "b"], "2 study ids for 3 reports"),
        (TEXTS, [1.0, 2.0, 3.0], "study ids hold double"),
        ([1, 2], None, "reports hold int64; allowed: texts"),
        ([1, "x"], None, "a column holds int, str; allowed"),
        (pandas.DataFrame({"report": TEXTS}), None, "give the column of texts: one of .'report'"),
    ):
        with pytest.raises(TableError, match=message):
            medtrim.annotate(reports, study_ids=ids)
    assert medtrim.annotate(["Clear.", None], empty="drop").num_rows == 1
    with pytest.raises(ConfigError, match="columns are for a table"):
        medtrim.annotate(TEXTS, columns={"text": "x"})
    with pytest.raises(ConfigError, match="of a table name columns"):
        medtrim.annotate("x.csv", study_ids=["a"])


def test_annotations_come_from_tables_of_any_library(tmp_path):
    table = medtrim.annotate(TEXTS)
    expected = load_annotations(table)
    assert load_annotations(polars.DataFrame(table)).annotations == expected.annotations
    assert load_annotations(list(expected.annotations)).annotations == expected.annotations
    with pytest.raises(TableError, match="annotations hold str; allowed are"):
        load_annotations(TEXTS)
    with pytest.raises(TableError, match="missing column 'findings'"):
        load_annotations(table.select(["study_id"]))
    assert Counter(r["disease"] for r in medtrim.findings_table(table).to_pylist())["edema"] == 1
