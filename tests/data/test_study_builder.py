"""Blocks of studies make the table that all of them at once would make."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medtrim.data import label_columns, study_builder
from medtrim.data.raw import RawRecord, assemble
from medtrim.data.study_builder import StudyBuilder
from medtrim.data.views import IMAGE_VIEWS
from medtrim.types import Study

cells = st.one_of(
    st.none(),
    st.sampled_from(["", "na", " 12 ", "007", "1.5", "-3", "1e3", "x", "9" * 30]),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.booleans(),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2),
)


@example([{"a": 0, "b": 0}, {"b": 0, "a": 0}, "x"], 2, False)
@example([{"a": 0}, {"a": 1.5}, "x"], 2, False)
@example([[0], [1.5], "x"], 2, False)
@given(st.lists(cells, max_size=12), st.integers(1, 5), st.booleans())
def test_a_label_is_the_same_whatever_the_blocks(values, size, textual):
    whole, pieces = label_columns.LabelColumn(), label_columns.LabelColumn()
    whole.append(list(values))
    for start in range(0, len(values), size):
        pieces.append(values[start : start + size])
    one, other = whole.finish(textual=textual), pieces.finish(textual=textual)
    assert other.to_pylist() == one.to_pylist()
    assert other.type == one.type or not values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", " 2", "na", ""], [1, 2, None, None]),
        (["1", "2.5", ".5", "1e3"], [1.0, 2.5, 0.5, 1000.0]),
        (["007", " 8 "], ["007", "8"]),
        (["1_000", "٣"], ["1_000", "٣"]),
        (["9" * 30, "1"], [float("9" * 30), 1.0]),
    ],
)
def test_a_column_of_text_becomes_numbers_where_it_holds_nothing_else(values, expected):
    for size in (1, len(values)):
        column = label_columns.LabelColumn()
        for start in range(0, len(values), size):
            column.append(values[start : start + size])
        assert column.finish(textual=True).to_pylist() == expected


def test_rows_of_one_study_are_joined_across_blocks(monkeypatch):
    monkeypatch.setattr(study_builder, "_BLOCK", 2)
    rows = [
        ("a", "1", "LATERAL"),
        ("b", "2", "PA"),
        ("c", "3", ""),
        ("a", "4", "PA"),
        ("d", "5", ""),
        ("a", "6", "AP"),
    ]
    records = [
        RawRecord(f"t:{i}", study, "p", (image,), views=(view,), findings=study, labels={"n": study})
        for i, (study, image, view) in enumerate(rows)
    ]
    again = RawRecord("t:9", "b", "p", ("7",), findings="other")
    reading = assemble([*records, again], split_sections=None, patients="required", textual=True)
    found = {s.study_id: (s.images, s.view, s.labels[IMAGE_VIEWS]) for s in reading.studies}
    assert found["a"] == (("4", "6", "1"), "PA", ["PA", "AP", "LATERAL"])
    assert found["b"] == (("2",), "PA", ["PA"])
    assert [s.labels["n"] for s in reading.studies] == ["a", "b", "c", "d"]
    assert [(r.study_id, r.reason) for r in reading.rejects] == [("b", "duplicate study id, first at t:1")]


def test_a_label_that_comes_late_is_empty_before(monkeypatch):
    monkeypatch.setattr(study_builder, "_BLOCK", 2)
    built = StudyBuilder(textual=False)
    for i in range(5):
        built.add(Study(f"s{i}", "p", labels={"late": i} if i > 2 else {}, unread=i))
    assert built[1].labels == {}
    assert built[3].labels == {"late": 3}
    studies = built.finish()
    assert [s.labels["late"] for s in studies] == [None, None, None, 3, 4]
    assert [s.unread for s in studies] == list(range(5))
    assert len(StudyBuilder(textual=False).finish()) == 0
