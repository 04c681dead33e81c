from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest

from medtrim.errors import TableError
from medtrim.experiments.truth import fidelity, read_truth
from medtrim.types import Annotation, Finding, Provenance, Study
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table

LEFT = Finding("pleural effusion", "present", ("large",), ("left",))
RIGHT = Finding("pleural effusion", "present", ("large",), ("right",))


def test_fidelity_counts_diseases_and_descriptors() -> None:
    drawn = [Annotation("a", (LEFT,)), Annotation("b", (LEFT,)), Annotation("c"), Annotation("d", (LEFT,))]
    read = [
        Annotation("a", (LEFT, Finding("hernia", "present"), Finding("edema", "absent"))),
        Annotation("b", (RIGHT,)),
        Annotation("c", (Finding("edema", "uncertain"),)),
        Annotation("elsewhere", (LEFT,)),
    ]
    found = fidelity(read, drawn)
    assert (found.diseases, found.descriptors, found.studies) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 3)


def test_fidelity_of_nothing_is_not_a_number() -> None:
    assert math.isnan(fidelity([], [Annotation("a")]).diseases)


def test_phantoms_are_judged_by_what_was_drawn_others_by_what_is_read(tmp_path: Path) -> None:
    studies, annotations = tmp_path / "studies.parquet", tmp_path / "annotations.parquet"
    table = studies_to_table([Study("a", "p", findings="x")])
    write_table(annotations_to_table([Annotation("a", (RIGHT,))]), annotations, Provenance("annotations"))
    write_table(table, studies, Provenance("studies"))
    assert read_truth(studies, annotations, drawn=False) == [Annotation("a", (RIGHT,))]
    with pytest.raises(TableError, match="truth"):
        read_truth(studies, annotations, drawn=True)
    drawn = annotations_to_table([Annotation("a", (LEFT,))])["findings"]
    write_table(table.append_column("truth", pa.chunked_array(drawn)), studies, Provenance("studies"))
    assert read_truth(studies, annotations, drawn=True) == [Annotation("a", (LEFT,))]
