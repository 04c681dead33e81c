from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from medtrim.experiments.report.mining_facts import count_triplets, mining_facts
from medtrim.mining.similarity import encode_studies
from medtrim.mining.triplets import MinedTriplets
from medtrim.types import Annotation, Finding, Provenance, Triplet
from medtrim.types.tables import annotations_to_table, write_table


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


def facts(*triplets: Triplet):  # type: ignore[no-untyped-def]
    encoded = encode_studies(ANNOTATIONS)
    rows = [encoded.index_of([t.anchor, t.positive, t.negative]) for t in triplets] or np.zeros((0, 3), np.int64)
    scores = np.array([(t.positive_score, t.negative_score) for t in triplets]).reshape(-1, 2)
    mined = MinedTriplets(np.array(rows), *scores.T, np.zeros(len(rows), np.int8))
    return count_triplets(encoded, mined)


def test_shares_are_of_the_triplets() -> None:
    found = facts(
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


def test_no_triplets_have_no_shares() -> None:
    found = facts()
    assert found.triplets == 0
    assert math.isnan(found.negatives_sharing)


def test_triplets_are_mined_from_the_table(tmp_path: Path) -> None:
    many = [Annotation(f"{a.study_id}-{i}", a.findings) for a in ANNOTATIONS for i in range(6)]
    write_table(annotations_to_table(many), tmp_path / "a.parquet", Provenance("annotations"))
    found = mining_facts(tmp_path / "a.parquet", iterations=2, seed=3)
    assert found.triplets > 0
    assert 0 <= found.positives_same_descriptors <= found.positives_same_diseases <= 1
    assert found == mining_facts(tmp_path / "a.parquet", iterations=2, seed=3)


def test_a_corpus_that_admits_no_triplet_has_none(tmp_path: Path) -> None:
    write_table(annotations_to_table(ANNOTATIONS[:1]), tmp_path / "a.parquet", Provenance("annotations"))
    assert mining_facts(tmp_path / "a.parquet").triplets == 0
