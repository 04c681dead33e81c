from __future__ import annotations

import pytest

from medtrim.entities import Recognizer
from medtrim.errors import ConfigError
from medtrim.search.query import FindingQuery, Query, Wanted, read_query
from medtrim.search.ranking import CONTRADICTED, SILENT, Matcher, rank
from medtrim.search.resident import Candidate
from medtrim.search.store import Neighbour
from medtrim.types import DEFAULT_CONTRADICTIONS, Finding

RECOGNIZER = Recognizer()
EFFUSION = FindingQuery("pleural effusion")


def read(text: str) -> Wanted:
    return read_query(text, RECOGNIZER.annotate_text(text))


@pytest.mark.parametrize(
    ("text", "must", "must_not"),
    [
        ("pleural effusion", ["pleural effusion"], []),
        ("large left pleural effusion, no cardiomegaly", ["large left pleural effusion"], ["no cardiomegaly"]),
        ("possible pneumonia", ["possible pneumonia"], []),
        ("acute rib fracture", ["acute fracture"], []),
        ("bibasilar atelectasis", ["bilateral basal atelectasis"], []),
        ("xyzzy", [], []),
    ],
)
def test_words_are_a_demand(text: str, must: list[str], must_not: list[str]) -> None:
    wanted = read(text)
    assert [q.words for q in wanted.must] == must
    assert [q.words for q in wanted.must_not] == must_not
    assert wanted.like == ()


def test_a_report_demands_nothing() -> None:
    wanted = read("There is a small left effusion. No pneumothorax.")
    assert wanted.must == wanted.must_not == ()
    assert [q.words for q in wanted.like] == ["small left pleural effusion", "no pneumothorax"]


@pytest.mark.parametrize(
    ("query", "findings", "expected"),
    [
        (EFFUSION, [], 0),
        (EFFUSION, [Finding("pleural effusion", "absent")], 0),
        (EFFUSION, [Finding("pleural effusion", "uncertain")], 1),
        (FindingQuery("pleural effusion", side=("left",)), [Finding("pleural effusion", "present")], SILENT),
        (
            FindingQuery("pleural effusion", side=("left",)),
            [Finding("pleural effusion", "present", (), ("right",))],
            CONTRADICTED,
        ),
        (
            FindingQuery("fracture", acuity=("acute",)),
            [Finding("fracture", "present", ("healed",))],
            CONTRADICTED,
        ),
        (FindingQuery("edema", severity=("mild",)), [Finding("edema", "present", ("mild",))], 1),
        (FindingQuery("edema", denied=True), [Finding("edema", "present")], 0),
        (FindingQuery("edema", denied=True), [], 1),
        (
            FindingQuery("pleural effusion", side=("left",), severity=("large",)),
            [
                Finding("pleural effusion", "present", ("small",), ("left",)),
                Finding("pleural effusion", "present", ("large",), ("right",)),
            ],
            CONTRADICTED,
        ),
        (
            FindingQuery("pleural effusion", side=("left",), severity=("large",)),
            [
                Finding("pleural effusion", "present", ("moderate",), ("left",)),
                Finding("pleural effusion", "present", (), ("left",)),
            ],
            CONTRADICTED,
        ),
    ],
)
def test_match_of_a_finding(query: FindingQuery, findings: list[Finding], expected: float) -> None:
    matcher = Matcher(DEFAULT_CONTRADICTIONS)
    assert matcher.finding(query, findings) == matcher.finding(query, findings) == pytest.approx(expected)


def neighbour(name: str, similarity: float, *findings: Finding, was_read: bool = True) -> Neighbour:
    return Neighbour(Candidate(0, name, findings=findings, read=was_read), similarity)


def test_modes_order_by_what_they_name() -> None:
    found = [
        neighbour("similar", 0.8, Finding("edema", "present")),
        neighbour("fitting", 0.1, Finding("pleural effusion", "present")),
        neighbour("unread", 0.5, was_read=False),
        neighbour("excluded", 1.0, Finding("pleural effusion", "present"), Finding("fracture", "present")),
    ]
    wanted = Wanted(must=(EFFUSION,), must_not=(FindingQuery("fracture"),))

    def order(mode: str) -> list[str]:
        ranked = rank(found, wanted, mode=mode, matcher=Matcher(DEFAULT_CONTRADICTIONS))  # type: ignore[arg-type]
        return [r.study.study_id for r in ranked]

    assert order("embedding") == ["similar", "unread", "fitting"]
    assert order("findings") == ["fitting", "unread", "similar"]
    assert order("both") == ["fitting", "unread", "similar"]
    rows = {r.study.study_id: r for r in rank(found, wanted, mode="both", matcher=Matcher(DEFAULT_CONTRADICTIONS))}
    assert rows["unread"].match is None
    assert [rows[name].fulfils for name in ("fitting", "similar", "unread")] == [True, False, False]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query(), "empty"),
        (Query("x", k=0), "number of results"),
        (Query("x", offset=-1), "offset"),
        (Query("x", image_weight=2), "image_weight"),
        (Query("x", mode="best"), "mode must be one of both, embedding, findings"),  # type: ignore[arg-type]
    ],
)
def test_bad_queries_are_refused(query: Query, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        query.check()
