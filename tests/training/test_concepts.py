from __future__ import annotations

import numpy as np
import pytest

from medtrim.errors import ConfigError
from medtrim.mining.similarity import encode_studies
from medtrim.training.concepts import concept_table, zone_captions
from medtrim.types import Annotation, Finding


def annotation(name, *findings):
    found = (Finding(d, "present", tuple(sorted(a)), tuple(sorted(p))) for d, a, p in findings)
    return Annotation(name, tuple(found))


ANNOTATIONS = [
    annotation("a", ("consolidation", (), ("left", "lower"))),
    annotation("b", ("pleural effusion", ("small",), ("right",))),
    annotation("c", ("edema", ("severe",), ())),
    annotation("d", ("pneumothorax", (), ("left", "apical"))),
    annotation("e"),
]


@pytest.fixture(scope="module")
def table():
    return concept_table(encode_studies(ANNOTATIONS))


def affirmed(table, concept):
    """Target of a concept for studies a to e, which have an annotation each."""
    names = [c.name for c in table.concepts]
    return table.target[:, names.index(concept)].tolist()


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("left lower zone", [1.0, 0.0, 0.8, 0.0, 0.0]),  # edema without a place is everywhere, a little less surely
        ("right lower zone", [0.0, 0.4, 0.8, 0.0, 0.0]),  # an effusion without a height lies below; it is small
        ("right upper zone", [0.0, 0.0, 0.8, 0.0, 0.0]),  # a pneumothorax makes no zone opaque
        ("pleural effusion", [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("right pleural effusion", [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("small pleural effusion", [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("left pneumothorax", [0.0, 0.0, 0.0, 1.0, 0.0]),
    ],
)
def test_reports_affirm_what_they_say(table, concept, expected):
    assert affirmed(table, concept) == pytest.approx(expected)


def test_concepts_that_no_report_has_are_left_out_and_weights_add_up_by_kind(table):
    names = [c.name for c in table.concepts]
    assert "left pleural effusion" not in names
    assert "cardiomegaly" not in names
    zones = sum(c.weight for c in table.concepts if c.name.endswith("zone"))
    assert zones == pytest.approx(0.7)
    assert sum(c.weight for c in table.concepts) == pytest.approx(1.0)


def test_captions_name_side_and_row_and_are_drawn_in_pairs(table):
    yes, no = zone_captions("left", "lower")
    assert all("left" in text and ("lower" in text or "basal" in text) for text in (*yes, *no))
    assert not set(yes) & set(no)
    drawn = table.draw(np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, table.draw(np.random.default_rng(0)))
    captions = table.captions
    for concept, (affirming, denying) in zip(table.concepts, drawn, strict=True):
        assert captions[affirming] in concept.positive
        assert captions[denying] in concept.negative


def test_a_corpus_without_findings_has_no_concepts():
    with pytest.raises(ConfigError, match="no finding of the score"):
        concept_table(encode_studies([annotation("a"), annotation("b")]))
