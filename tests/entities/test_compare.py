"""Comparing two annotations of a corpus."""

from __future__ import annotations

from medtrim.entities.compare import compare_annotations
from medtrim.types import Annotation, Finding

EFFUSION = Finding("pleural effusion", "present", ("small",), ("left",))


def test_differences_are_named_finding_by_finding() -> None:
    ours = [Annotation("a", (EFFUSION, Finding("edema", "present"), Finding("edema", "absent")))]
    theirs = [
        Annotation(
            "a", (Finding("pleural effusion", "uncertain", ("small",), ("right",)), Finding("edema", "absent"))
        )
    ]
    found = compare_annotations(ours, theirs)
    assert [(d.disease, d.fields) for d in found.disagreements] == [
        ("pleural effusion", ("assertion", "directions")),
        ("edema", ("only here",)),
    ]
    assert found.agreeing == 1


def test_a_denial_that_one_side_keeps_is_no_disagreement() -> None:
    found = compare_annotations([Annotation("a", (Finding("edema", "absent"),))], [Annotation("a")])
    assert found.disagreements == ()


def test_studies_of_one_side_only_are_listed() -> None:
    found = compare_annotations([Annotation("a"), Annotation("b")], [Annotation("b", (EFFUSION,)), Annotation("c")])
    assert (found.only_ours, found.only_theirs) == (("a",), ("c",))
    assert [(d.study_id, d.fields) for d in found.disagreements] == [("b", ("only there",))]
