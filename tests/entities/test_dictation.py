"""Dictated sentences: one half whose errors were read while rules were written, one that was only measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medtrim.entities import Recognizer
from medtrim.types import Finding
from medtrim.types.yamlfile import read_yaml

TABLE: dict[str, list[dict[str, Any]]] = read_yaml(Path(__file__).with_name("dictation.yaml"))
LABEL = re.compile(r"([a-z/]+) (~?)([^\[]+?)\s*(?:\[([^|\]]*)(?:\|([^\]]*))?\])?")
DIFFERENTIAL = "differential: "


@dataclass(frozen=True)
class Words:
    """Descriptors that must, and that may, be read; with `free` any others may be too."""

    must: frozenset[str]
    may: frozenset[str]
    free: bool

    @classmethod
    def parse(cls, text: str) -> Words:
        words = text.split()
        may = frozenset(w.strip("()") for w in words if w.startswith("("))
        return cls(frozenset(w for w in words if w != "*" and not w.startswith("(")), may, "*" in words)

    def fit(self, found: tuple[str, ...]) -> bool:
        return self.must <= set(found) and (self.free or set(found) <= self.must | self.may)


def fits(label: str, finding: Finding) -> bool:
    match = LABEL.fullmatch(label)
    if match is None:
        raise ValueError(f"cannot read {label!r}")
    assertions, tilde, disease, adjectives, directions = match.groups(default="")
    named = finding.disease.removeprefix(DIFFERENTIAL) if tilde else finding.disease
    return (
        finding.assertion in assertions.split("/")
        and named == disease
        and Words.parse(adjectives).fit(finding.adjectives)
        and Words.parse(directions).fit(finding.directions)
    )


def is_right(says: list[str], findings: tuple[Finding, ...]) -> bool:
    """Whether every label has a finding of its own, and no finding is left that may not be there."""
    free = {label.lstrip("? ") for label in says if label.startswith("?")}
    left = list(findings)
    for label in (label for label in says if not label.startswith("?")):
        match = next((f for f in left if fits(label, f)), None)
        if match is None:
            return False
        left.remove(match)
    return all(f.disease.removeprefix(DIFFERENTIAL) in free for f in left)


@pytest.mark.parametrize(("half", "least"), [("tested", 0.94), ("measured", 0.88)])
def test_share_of_sentences_that_are_wholly_right(half: str, least: float) -> None:
    recognizer = Recognizer()
    rows = TABLE[half]
    right = sum(is_right(row["says"], recognizer.annotate_text(row["text"])) for row in rows)
    assert len(rows) == 150
    assert right / len(rows) >= least


def test_a_label_is_strict_where_it_says_nothing_else() -> None:
    finding = Finding("edema", "present", ("mild",), ("left",))
    assert is_right(["present edema [mild | left]"], (finding,))
    assert is_right(["present/uncertain edema [* | (left)]"], (finding,))
    assert not is_right(["present edema [ | left]"], (finding,))
    assert not is_right(["absent edema [mild | left]"], (finding,))
    assert not is_right([], (finding,))
    assert is_right(["? edema"], (finding,))
