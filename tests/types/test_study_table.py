"""Studies as rows of an Arrow table, against the records themselves."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from medtrim.types import Study
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import studies_to_table

STUDIES = [
    Study("a", "p", ("1.png", "/x/2.png"), "PA", " both lungs ", "", "train", {"age": 3}),
    Study("b", "q", (), "", "", "clear \n", "val", {"age": None}),
    Study("c", "", ("3.png",), "AP", "one", "two", "", {"age": 5}),
    Study("d", "p", ("4.png",), "", "\x1f \xa0", "", "train", {"age": 7}),
]


@pytest.fixture
def table():
    pieces = [studies_to_table(STUDIES[:2]), studies_to_table(STUDIES[2:])]
    return StudyTable(pa.concat_tables(pieces))


def test_it_is_a_sequence_of_its_records(table):
    assert table == STUDIES
    assert tuple(STUDIES) == table
    assert table != STUDIES[:3]
    assert (table[0], table[-1], len(table)) == (STUDIES[0], STUDIES[3], 4)
    assert list(table[1:3]) == STUDIES[1:3]
    assert list(table[::-2]) == STUDIES[::-2]
    assert STUDIES[2] in table
    with pytest.raises(IndexError, match="row 4 of 4"):
        table[4]


def test_columns_say_what_the_records_say(table):
    assert table.reports().to_pylist() == [s.report for s in STUDIES] == ["both lungs", "clear", "one two", ""]
    assert table.study_ids == [s.study_id for s in STUDIES]
    assert list(table.select(np.array([True, False, False, True]))) == [STUDIES[0], STUDIES[3]]
    assert list(table.take(np.array([3, 0]))) == [STUDIES[3], STUDIES[0]]
    assert studies_to_table(table) is table.table


def test_image_paths_are_mapped_in_their_places(table):
    for part in (table, table[1:]):
        mapped = part.map_images(lambda path: path + "x")
        assert list(mapped) == [replace(s, images=tuple(i + "x" for i in s.images)) for s in part]
