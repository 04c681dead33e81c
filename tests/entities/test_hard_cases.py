"""The hard cases of report language, each sentence labelled by hand in hard_cases.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from medtrim.entities import Recognizer
from medtrim.types import Finding
from medtrim.types.yamlfile import read_yaml

_SAID = re.compile(r"(present|uncertain|absent) ([^\[]+?)(?: \[([^|\]]*)(?:\|([^\]]*))?\])?")
TABLE: dict[str, list[dict[str, Any]]] = read_yaml(Path(__file__).with_name("hard_cases.yaml"))
CASES = [(group, row["text"], row["says"]) for group, rows in TABLE.items() for row in rows]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def expected(said: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    match = _SAID.fullmatch(said)
    if match is None:
        raise ValueError(f"cannot read {said!r}")
    assertion, name, adjectives, directions = match.groups(default="")
    return assertion, name, tuple(sorted(adjectives.split())), tuple(sorted(directions.split()))


def found(finding: Finding) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    return finding.assertion, finding.disease, finding.adjectives, finding.directions


@pytest.mark.parametrize(("group", "text", "says"), CASES, ids=[f"{g}: {t[:50]}" for g, t, _ in CASES])
def test_hard_case(recognizer: Recognizer, group: str, text: str, says: list[str]) -> None:
    findings = recognizer.annotate_text(text)
    assert [found(f) for f in findings] == [expected(said) for said in says], group
    for finding in findings:
        assert all(text[m.start : m.end] == m.text for m in finding.mentions)
        if finding.assertion != "present":
            assert any(m.role == "cue" for m in finding.mentions), "what is not plainly stated has its cue"


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 150
