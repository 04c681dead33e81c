"""Frozen records that the packages hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Assertion = Literal["present", "uncertain", "absent"]
Role = Literal["disease", "adjective", "direction", "change", "cue"]
Change = Literal["resolved", "partially resolved", "new", "larger", "smaller", "unchanged"]
CHANGES: tuple[Change, ...] = ("resolved", "partially resolved", "new", "larger", "smaller", "unchanged")
ASSERTIONS: tuple[Assertion, ...] = ("present", "uncertain", "absent")
ROLES: tuple[Role, ...] = ("disease", "adjective", "direction", "change", "cue")


@dataclass(frozen=True, slots=True)
class Mention:
    """A span of one report section.

    `start` and `end` are half-open character offsets into the section, so `section_text[start:end] == text`.
    `role` says what the span contributed: the disease, a descriptor, the change since the prior study, or the cue
    that decided the assertion.
    """

    section: str
    start: int
    end: int
    text: str
    role: Role


@dataclass(frozen=True, slots=True)
class Finding:
    """One mentioned finding: a canonical disease, its assertion, and the descriptors bound to it.

    "small left and large right effusion" is two findings. `adjectives` and `directions` are canonical,
    sorted and without repeats. `change` is what has become of it since the prior study, `size_mm` its largest
    measured extent in millimetres; None where the report does not say. Neither enters the score.
    """

    disease: str
    assertion: Assertion
    adjectives: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    change: Change | None = None
    size_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """The findings of one study's report, absent ones included, in order of appearance.

    A report in which nothing is recognised and normality is not stated was not `read`: it holds no finding, but
    that is not *no finding*.
    """

    study_id: str
    findings: tuple[Finding, ...] = ()
    read: bool = True


@dataclass(frozen=True, slots=True)
class Sections:
    """The two report sections that MedTrim reads; an absent section is the empty string.

    `unread` counts the characters of the report that belong to neither (history, technique, comparison).
    """

    findings: str = ""
    impression: str = ""
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Study:
    """One study: its images and report. Image paths are absolute, or relative to the corpus's folder.

    `unread` counts the characters of the report that stand in neither section, where it came whole.
    """

    study_id: str
    patient_id: str
    images: tuple[str, ...] = ()
    view: str = ""
    findings: str = ""
    impression: str = ""
    split: str = ""
    labels: Mapping[str, object] = field(default_factory=dict)
    unread: int = 0

    @property
    def report(self) -> str:
        """The text that encoders read: findings, then impression, one space between."""
        return " ".join(part for part in (self.findings.strip(), self.impression.strip()) if part)


@dataclass(frozen=True, slots=True)
class Triplet:
    """A mined (anchor, positive, negative) of study ids with the scores S(anchor, ·) that chose them."""

    anchor: str
    positive: str
    negative: str
    positive_score: float
    negative_score: float


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be used, and why. The reason never quotes the report."""

    study_id: str
    source: str
    reason: str
