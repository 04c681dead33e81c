from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtrim.evaluation.agreement import compare, disease_states, unmarked
from medtrim.types import DEFAULT_CONTRADICTIONS, NO_FINDING, Finding

LEFT_LARGE = Finding("pleural effusion", "present", ("large",), ("left",))


def test_the_same_findings_agree_in_every_word() -> None:
    agreement = compare([LEFT_LARGE], [LEFT_LARGE])
    (mark,) = agreement.marks
    assert mark.relation == "agrees"
    assert [d.relation for d in mark.descriptors] == ["agrees", "agrees"]
    assert agreement.missing == ()
    assert agreement.conflicts == ()
    assert mark.words == "large left pleural effusion"


@pytest.mark.parametrize(
    ("other", "conflicts"),
    [
        (Finding("pleural effusion", "present", ("large",), ("right",)), ("side",)),
        (Finding("pleural effusion", "present", ("small",), ("left",)), ("severity",)),
        (Finding("pleural effusion", "present", ("mild",), ("right",)), ("side", "severity")),
        (Finding("pleural effusion", "present", (), ("left", "right")), ()),
        (Finding("pleural effusion", "present"), ()),
        (Finding("pleural effusion", "uncertain", ("large",), ("left",)), ()),
    ],
)
def test_conflicts_are_named_by_axis(other: Finding, conflicts: tuple[str, ...]) -> None:
    (mark,) = compare([LEFT_LARGE], [other]).marks
    assert mark.conflicts == conflicts
    assert mark.relation == ("conflicts" if conflicts else "agrees")


def test_only_the_descriptor_at_fault_is_marked() -> None:
    (mark,) = compare([LEFT_LARGE], [Finding("pleural effusion", "present", ("large",), ("basal", "right"))]).marks
    assert {d.text: d.relation for d in mark.descriptors} == {
        "large": "agrees",
        "basal": "extra",
        "right": "conflicts",
    }


def test_a_denied_disease_conflicts_and_an_unmentioned_one_is_extra() -> None:
    query = [LEFT_LARGE, Finding("pneumothorax", "absent")]
    agreement = compare(query, [Finding("pneumothorax", "present"), Finding("edema", "present")])
    assert [(m.disease, m.relation, m.conflicts) for m in agreement.marks] == [
        ("pneumothorax", "conflicts", ("disease",)),
        ("edema", "extra", ()),
    ]
    assert agreement.missing == ("pleural effusion",)
    assert not agreement.shares_disease


def test_two_normal_studies_agree() -> None:
    agreement = compare([Finding("edema", "absent")], [Finding(NO_FINDING, "present")])
    assert [(m.disease, m.relation) for m in agreement.marks] == [(NO_FINDING, "agrees")]
    assert agreement.shares_disease


def test_findings_of_one_disease_are_united() -> None:
    (state,) = disease_states(
        [
            Finding("pleural effusion", "uncertain", ("small",), ("left",)),
            Finding("pleural effusion", "present", ("large",), ("right",)),
        ]
    )
    assert state.descriptors == ("large", "small", "left", "right")
    assert not state.uncertain


def test_both_sides_are_said_in_one_word() -> None:
    both = Finding("edema", "present", ("mild",), ("left", "right"))
    (mark,) = compare([both], [both]).marks
    assert mark.words == "mild bilateral edema"
    assert [d.relation for d in mark.descriptors] == ["agrees", "agrees"]
    (mark,) = compare([Finding("edema", "present", (), ("left",))], [both]).marks
    assert [(d.text, d.relation) for d in mark.descriptors] == [("mild", "extra"), ("bilateral", "extra")]
    assert mark.relation == "agrees"
    (mark,) = unmarked([both])
    assert mark.words == "mild bilateral edema"


def test_without_a_query_nothing_is_judged() -> None:
    (mark,) = unmarked([LEFT_LARGE])
    assert mark.relation == "neutral"
    assert {d.relation for d in mark.descriptors} == {"neutral"}


WORDS = st.lists(
    st.sampled_from(sorted({w for axis in DEFAULT_CONTRADICTIONS.axes.values() for w in axis} | {"patchy"})),
    max_size=3,
)
FINDINGS = st.lists(
    st.builds(
        lambda disease, assertion, words: Finding(disease, assertion, tuple(words)),
        st.sampled_from(["edema", "pneumonia", "fracture"]),
        st.sampled_from(["present", "uncertain", "absent"]),
        WORDS,
    ),
    max_size=4,
)


@given(FINDINGS, FINDINGS)
def test_axis_conflicts_are_symmetric(ours: list[Finding], theirs: list[Finding]) -> None:
    def axes(a: list[Finding], b: list[Finding]) -> set[tuple[str, str]]:
        return {(m.disease, c) for m in compare(a, b).marks for c in m.conflicts if c != "disease"}

    assert axes(ours, theirs) == axes(theirs, ours)


@given(FINDINGS)
def test_a_study_never_conflicts_with_itself(findings: list[Finding]) -> None:
    agreement = compare(findings, findings)
    assert agreement.conflicts == ()
    assert agreement.missing == ()
    assert agreement.shares_disease
