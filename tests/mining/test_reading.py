"""Tables encode like records; those that cannot be mined say why."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.mining import coded
from medtrim.mining.reading import encode_coded, read_encoded, read_patients
from medtrim.mining.similarity import ScoreConfig, encode_studies, score_matrix
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Finding, OntologyRef, Provenance, Study
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.tables import annotation_table, annotations_to_table, studies_to_table, write_table


def test_chunked_and_sliced_tables_encode_alike(drawn):
    corpus = drawn(60)
    table = annotations_to_table(corpus)
    pieces = pa.concat_tables([table.slice(40), table.slice(0, 40)]).slice(10)
    expected = encode_studies([*corpus[40:], *corpus[:40]][10:])
    encoded = encode_studies(AnnotationTable(pieces))
    assert encoded.study_ids == expected.study_ids
    np.testing.assert_array_equal(encoded.inverse, expected.inverse)
    np.testing.assert_array_equal(encoded.is_normal, expected.is_normal)
    np.testing.assert_array_equal(score_matrix(encoded), score_matrix(expected))


def test_some_studies_encode_as_if_there_were_no_others(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(coded, "_ROWS", 7)
    corpus = drawn(60)
    write_table(annotations_to_table(corpus), tmp_path / "a.parquet", Provenance("annotations", seed=3))
    read = coded.read_coded(tmp_path / "a.parquet")
    assert read.provenance is not None
    assert read.provenance.seed == 3
    assert read.silent.tolist() == [not a.findings for a in corpus]
    chosen = [corpus[i] for i in (50, 3, 17, 41)]
    ours, theirs = encode_coded(read, [a.study_id for a in chosen]), encode_studies(chosen)
    assert ours.study_ids == theirs.study_ids
    for name in ("disease_sets", "adjective_sets", "direction_sets"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert one.vocabulary == other.vocabulary
        np.testing.assert_array_equal(one.masks, other.masks)
    with pytest.raises(TableError, match="1 training studies have none: 'nowhere'"):
        encode_coded(read, ["nowhere"])


def test_an_empty_table_encodes_to_nothing():
    assert len(encode_studies(annotation_table([]))) == 0
    assert len(encode_studies([])) == 0


def test_reading_keeps_ontology_contradictions_and_remarks(tmp_path):
    axes = {"side": {"left": 0, "right": 1}}
    findings = (Finding("edema", "present"), Finding("granuloma", "present"))
    made = Provenance("annotations", ontology=OntologyRef("chest", "2", "abc"), extra={"contradictions": axes})
    write_table(annotations_to_table([Annotation("a", findings)]), tmp_path / "a.parquet", made)
    corpus = read_encoded(tmp_path / "a.parquet")
    assert corpus.ontology == OntologyRef("chest", "2", "abc")
    assert corpus.contradictions.axes == axes
    assert corpus.notes == ("findings that the score does not count: granuloma (1)",)
    assert corpus.provenance({}, 3, {"triplets": 1}).ontology == corpus.ontology


def test_a_table_of_another_making_is_read_with_a_remark(tmp_path, drawn):
    import pyarrow.parquet as pq

    pq.write_table(annotations_to_table(drawn(5)), tmp_path / "a.parquet")
    corpus = read_encoded(tmp_path / "a.parquet")
    assert "no provenance" in corpus.notes[0]
    assert corpus.contradictions is DEFAULT_CONTRADICTIONS


def test_a_table_of_another_ontology_is_refused(tmp_path):
    table = annotations_to_table([Annotation("a", (Finding("effusion", "present"), Finding("mass", "absent")))])
    write_table(table, tmp_path / "a.parquet", Provenance("annotations"))
    with pytest.raises(TableError, match=r"none of the 2 findings.*effusion \(1\), mass \(1\).*another ontology"):
        read_encoded(tmp_path / "a.parquet")


def test_ids_missing_or_repeated_and_unknown_assertions_are_refused():
    for records, message in (
        ([Annotation("a"), Annotation("a")], "duplicate study id"),
        ([Annotation(None)], "1 row.*without a study id"),  # type: ignore[arg-type]
        ([Annotation("a", (Finding("edema", "maybe"),))], "unknown assertion.*'maybe'"),  # type: ignore[arg-type]
        ([Annotation("a", (Finding(None, "present"),))], "lacks its disease"),  # type: ignore[arg-type]
    ):
        for source in (records, AnnotationTable(annotations_to_table(records))):
            with pytest.raises(TableError, match=message):
                encode_studies(source)


def test_patients_are_numbered_in_the_order_of_the_annotations(tmp_path):
    studies = [Study("a", "P1"), Study("b", "P2"), Study("c", "P1"), Study("d", "")]
    write_table(studies_to_table(studies), tmp_path / "s.parquet", Provenance("studies"))
    patients = read_patients(tmp_path / "s.parquet", ["c", "b", "a"])
    assert patients[0] == patients[2] != patients[1]
    with pytest.raises(TableError, match="2 annotated study.*missing: x, y"):
        read_patients(tmp_path / "s.parquet", ["x", "a", "y"])
    with pytest.raises(TableError, match="1 study.*no patient id, first 'd'"):
        read_patients(tmp_path / "s.parquet", ["a", "d"])


def with_splits(path, ids, splits):
    studies = [Study(i, f"p{i}", findings="x", split=s) for i, s in zip(ids, splits, strict=True)]
    write_table(studies_to_table(studies), path, Provenance("studies"))
    return path


def test_a_split_is_read_as_if_the_others_were_not_there(tmp_path, drawn):
    corpus = drawn(60)
    write_table(annotations_to_table(corpus), tmp_path / "a.parquet", Provenance("annotations"))
    splits = ["train" if i % 3 else "test" for i in range(60)]
    # The studies table has its own order, and studies that were never annotated.
    table = with_splits(
        tmp_path / "s.parquet", ["extra", *[a.study_id for a in reversed(corpus)]], ["train", *reversed(splits)]
    )
    read = read_encoded(tmp_path / "a.parquet", split="train", studies=table)
    kept = [a for a, s in zip(corpus, splits, strict=True) if s == "train"]
    assert read.encoded.study_ids == tuple(a.study_id for a in kept)
    assert len(read.unread) == 40
    np.testing.assert_array_equal(score_matrix(read.encoded), score_matrix(encode_studies(kept)))
    assert read.provenance({}, 0, {}).extra["split"] == "train"
    assert "split" not in read_encoded(tmp_path / "a.parquet").provenance({}, 0, {}).extra


def test_a_split_that_is_not_there(tmp_path, drawn):
    corpus = drawn(4)
    write_table(annotations_to_table(corpus), tmp_path / "a.parquet", Provenance("annotations"))
    ids = [a.study_id for a in corpus]
    named = with_splits(tmp_path / "s.parquet", ids, ["test", "train", "test", ""])
    with pytest.raises(
        TableError, match="no annotated study is in split 'training'; splits found: 'test', 'train'"
    ):
        read_encoded(tmp_path / "a.parquet", split="training", studies=named)
    none = with_splits(tmp_path / "none.parquet", ids, [""] * 4)
    with pytest.raises(TableError, match="medtrim data import"):
        read_encoded(tmp_path / "a.parquet", split="train", studies=none)
    fewer = with_splits(tmp_path / "fewer.parquet", ids[1:], ["train"] * 3)
    with pytest.raises(TableError, match=r"1 annotated study\(ies\) are missing"):
        read_encoded(tmp_path / "a.parquet", split="train", studies=fewer)
    with pytest.raises(ConfigError, match="needs the studies table"):
        read_encoded(tmp_path / "a.parquet", split="train")
    with pytest.raises(ConfigError, match="has no name"):
        read_encoded(tmp_path / "a.parquet", split="", studies=named)


def test_rows_without_a_study_id_are_refused_on_both_sides_of_a_split(tmp_path, drawn):
    corpus = drawn(4)
    table = annotations_to_table(corpus)
    write_table(table, tmp_path / "a.parquet", Provenance("annotations"))
    studies = with_splits(tmp_path / "s.parquet", [a.study_id for a in corpus], ["train"] * 4)
    nameless = pa.array([None, *table["study_id"].to_pylist()[1:]], pa.string())
    write_table(table.set_column(0, "study_id", nameless), tmp_path / "nameless.parquet", Provenance("annotations"))
    with pytest.raises(TableError, match=r"annotations: 1 row\(s\) without a study id"):
        read_encoded(tmp_path / "nameless.parquet", split="train", studies=studies)
    known = pq.read_table(studies)
    pq.write_table(known.set_column(known.schema.get_field_index("study_id"), "study_id", nameless), studies)
    with pytest.raises(TableError, match=r"studies: 1 row\(s\) without a study id"):
        read_encoded(tmp_path / "a.parquet", split="train", studies=studies)


UNREAD = [
    Annotation("n", ()),
    Annotation("u", (), read=False),
    Annotation("d", (Finding("device", "present"),), read=False),
    Annotation("e", (Finding("edema", "present"),)),
]


def test_a_report_that_was_not_read_is_no_normal():
    for encoded in (encode_studies(UNREAD), encode_studies(annotation_table(UNREAD))):
        assert encoded.is_normal.tolist() == [True, False, False, False]
        scores = score_matrix(encoded)
        assert scores[0, 1] == 0
        assert scores[0, 0] == pytest.approx(0.85)


def test_the_authors_take_what_was_not_read_for_normal():
    encoded = encode_studies(UNREAD, ScoreConfig(unread="normal"))
    assert encoded.is_normal.tolist() == [True, True, True, False]
    assert score_matrix(encoded)[0, 1] == pytest.approx(0.85)


@pytest.mark.parametrize(("unread", "kept"), [("apart", ("n", "e")), ("normal", ("n", "u", "d", "e"))])
def test_what_was_not_read_is_not_mined(tmp_path, unread, kept):
    write_table(annotations_to_table(UNREAD), tmp_path / "a.parquet", Provenance("annotations"))
    read = read_encoded(tmp_path / "a.parquet", ScoreConfig(unread=unread))
    assert read.encoded.study_ids == kept
    assert any("2 study(ies) are left out" in note for note in read.notes) == (unread == "apart")


def test_tables_of_earlier_versions_count_as_read(tmp_path):
    old = annotations_to_table(UNREAD[:1]).drop_columns(["read"])
    pq.write_table(old, tmp_path / "a.parquet")
    assert read_encoded(tmp_path / "a.parquet").encoded.is_normal.tolist() == [True]


def test_unread_takes_one_of_two_values():
    with pytest.raises(ConfigError, match="apart, normal"):
        ScoreConfig(unread="dropped")
