from __future__ import annotations

import numpy as np
import pytest

import medtrim
from medtrim.errors import ConfigError, TableError
from medtrim.types import Annotation, Finding

TEXTS = ["Small left effusion.", "Large left effusion. Mild edema.", "Right effusion.", "Clear.", "Edema."]
IDS = list("edcba")


@pytest.fixture(scope="module")
def found():
    return medtrim.annotate(TEXTS, study_ids=IDS)


@pytest.mark.parametrize("mode", ["faithful", "symmetric"])
def test_scores_by_study_id_are_those_that_the_explanation_adds_up(found, mode):
    matrix = medtrim.score_matrix(found, anchors=["a", "e"], references=IDS[::-1], score={"mode": mode})
    assert np.asarray(matrix).shape == (2, 5)
    for anchor in ("a", "e"):
        for reference in IDS:
            why = medtrim.explain_score(anchor, reference, found, score={"mode": mode})
            assert matrix[anchor, reference] == pytest.approx(why.score)
    assert medtrim.score_matrix(found).anchors == tuple(IDS)


def test_two_texts_are_compared_as_their_annotations_are(found):
    by_text = medtrim.explain_score(TEXTS[0], TEXTS[1])
    assert by_text.score == medtrim.explain_score("e", "d", found).score
    record = Annotation("x", (Finding("pleural effusion", "present", ("small",), ("left",)),))
    assert medtrim.explain_score(record, TEXTS[1]).score == by_text.score


def test_refusals(found):
    with pytest.raises(TableError, match="'z'"):
        medtrim.score_matrix(found, anchors=["z"])
    with pytest.raises(TableError, match="study 'z' is not among 'e'"):
        medtrim.score_matrix(found)["a", "z"]
    with pytest.raises(ConfigError, match="'mode' meant"):
        medtrim.score_matrix(found, score={"mod": "faithful"})
    with pytest.raises(TableError, match="not among the 5 annotated studies: 'z'"):
        medtrim.explain_score("z", "a", found)
    with pytest.raises(ConfigError, match="are study ids"):
        medtrim.explain_score("a", Annotation("a"), found)
