"""Annotations as rows of an Arrow table, against the records themselves."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from medtrim.types import Annotation, Finding, Mention, Provenance
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.tables import annotation_table, annotations_to_table, read_annotations, write_table

SPAN = Mention("findings", 3, 9, "effusion", "disease")
RECORDS = [
    Annotation("a", (Finding("edema", "present", ("mild",), (), (SPAN, SPAN)), Finding("fracture", "absent"))),
    Annotation("b", (), read=False),
    Annotation("c", (Finding("pneumonia", "uncertain", (), ("left",), (SPAN,), "new", 12.5),)),
]


@pytest.fixture
def table():
    return AnnotationTable(pa.concat_tables(map(annotations_to_table, (RECORDS[:1], RECORDS[1:]))))


def test_it_is_a_sequence_of_its_records(table):
    assert table == RECORDS
    assert table != RECORDS[1:]
    assert (table[0], table[-1]) == (RECORDS[0], RECORDS[2])
    assert list(table[::-1]) == RECORDS[::-1]
    assert list(table.take(np.array([2, 0]))) == [RECORDS[2], RECORDS[0]]
    with pytest.raises(IndexError, match="row 3 of 3"):
        table[3]


def test_records_are_found_by_study_id(table):
    by_id = table.by_id()
    assert dict(by_id) == {r.study_id: r for r in RECORDS}
    assert "b" in by_id
    assert "z" not in by_id


def test_records_become_rows(table):
    assert annotation_table(table) is table
    assert annotation_table(RECORDS) == RECORDS
    assert len(annotation_table([])) == 0


def test_mentions_can_be_left_unread(table, tmp_path):
    write_table(table.table, tmp_path / "a.parquet", Provenance("annotations"))
    bare = [replace(r, findings=tuple(replace(f, mentions=()) for f in r.findings)) for r in RECORDS]
    assert read_annotations(tmp_path / "a.parquet") == RECORDS
    assert read_annotations(tmp_path / "a.parquet", mentions=False) == bare
    write_table(table.table.drop_columns(["read"]), tmp_path / "old.parquet", Provenance("annotations"))
    assert len(read_annotations(tmp_path / "old.parquet", mentions=False)) == 3
