from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.errors import TableError
from medtrim.types import Annotation, Finding, Mention, OntologyRef, Provenance, Study, schemas, tables


def test_studies_survive_a_round_trip_with_their_labels(tmp_path):
    studies = [
        Study("s1", "p1", ("a.png", "b.png"), "PA", "Clear.", "Normal.", "train", {"age": 61}),
        Study("s2", "p2", (), "", "", "", "", {"sex": "F"}),
    ]
    path = tmp_path / "studies.parquet"
    tables.write_table(tables.studies_to_table(studies), path, Provenance("studies", seed=3))
    back = tables.read_studies(path)
    assert back[0] == Study(
        "s1", "p1", ("a.png", "b.png"), "PA", "Clear.", "Normal.", "train", {"age": 61, "sex": None}
    )
    assert back[1].labels == {"age": None, "sex": "F"}


def test_annotations_and_provenance_survive_a_round_trip(tmp_path):
    finding = Finding(
        "edema", "uncertain", ("mild",), ("left", "right"), (Mention("impression", 4, 9, "edema", "disease"),)
    )
    provenance = Provenance(
        "annotations", {"batch": 8}, 5, OntologyRef("cxr", "1.0", "ab"), {"x": [1]}, medtrim="9.9"
    )
    path = tmp_path / "annotations.parquet"
    tables.write_table(tables.annotations_to_table([Annotation("s", (finding,))]), path, provenance)
    assert tables.read_annotations(path) == [Annotation("s", (finding,))]
    assert tables.provenance_of(pq.read_table(path)) == provenance


def test_missing_and_misnamed_columns_are_named(tmp_path):
    path = tmp_path / "triplets.parquet"
    pq.write_table(pa.table({"anchor": ["a"], "positives": ["b"], "negative": ["c"]}), path)
    with pytest.raises(TableError, match=r"'positive', is 'positives' meant\?.*'negative_score'"):
        tables.read_table(path, schemas.TRIPLETS, table="triplets")


def test_a_column_of_the_wrong_type_is_named():
    data = pa.table({"study_id": ["a"], "findings": ["no list"]})
    with pytest.raises(TableError, match="'findings' holds string"):
        tables.conform(data, schemas.ANNOTATIONS, table="annotations")


@pytest.mark.parametrize("content", [None, b"", b"not parquet"])
def test_a_file_that_is_no_table_is_an_error(tmp_path, content):
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TableError, match=r"x\.parquet"):
        tables.read_table(path, schemas.STUDIES, table="studies")


def test_duplicate_study_ids_are_named():
    table = tables.studies_to_table([Study("a", "p"), Study("b", "p"), Study("a", "q")])
    with pytest.raises(TableError, match="1 duplicate study id.*'a'"):
        tables.studies_from_table(table)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), tables.atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]
    assert path.read_text() == "old"
