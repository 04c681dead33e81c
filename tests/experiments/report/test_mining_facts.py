from __future__ import annotations

import math
from pathlib import Path

import pytest

from medtrim.errors import TableError
from medtrim.experiments.report.mining_facts import mining_facts
from medtrim.types import Annotation, Finding, Provenance, Triplet
from medtrim.types.tables import annotations_to_table, triplets_to_table, write_table


def effusion(*adjectives: str) -> Finding:
    return Finding("pleural effusion", "present", adjectives)


EDEMA = Finding("edema", "present")
ANNOTATIONS = [
    Annotation("anchor", (effusion("large"),)),
    Annotation("twin", (effusion("large"), Finding("edema", "absent"))),
    Annotation("small", (effusion("small"),)),
    Annotation("both", (effusion("large"), EDEMA)),
    Annotation("edema", (EDEMA,)),
    Annotation("normal"),
]


def facts(folder: Path, *triplets: Triplet):  # type: ignore[no-untyped-def]
    write_table(annotations_to_table(ANNOTATIONS), folder / "a.parquet", Provenance("annotations"))
    write_table(triplets_to_table(triplets), folder / "t.parquet", Provenance("triplets"))
    return mining_facts(folder / "a.parquet", folder / "t.parquet")


def test_shares_are_of_the_triplets(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        Triplet("anchor", "twin", "both", 1.0, 0.55),
        Triplet("anchor", "small", "edema", 0.9, 0.0),
        Triplet("anchor", "small", "normal", 0.9, 0.0),
        Triplet("anchor", "both", "small", 0.6, 0.9),
    )
    assert (found.triplets, found.ceiling, found.same_disease) == (4, 0.6, 0.85)
    assert found.negatives_sharing == 0.5
    assert found.negatives_normal == 0.25
    assert found.negatives_from_ceiling == 1
    assert found.positives_same_diseases == 0.75
    assert found.positives_same_descriptors == 0.25


def test_no_triplets_have_no_shares(tmp_path: Path) -> None:
    found = facts(tmp_path)
    assert found.triplets == 0
    assert math.isnan(found.negatives_sharing)


def test_a_triplet_of_an_unknown_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="elsewhere"):
        facts(tmp_path, Triplet("anchor", "twin", "elsewhere", 1.0, 0.5))
