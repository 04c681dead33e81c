"""What a query asks for: words, a picture or a study, and findings that a hit must have, must not have, or may."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medtrim.errors import ConfigError
from medtrim.search.filters import NO_FILTERS, Filters
from medtrim.search.store import Side
from medtrim.types import DEFAULT_CONTRADICTIONS, NO_FINDING, SIDES, Contradictions, Finding

Mode = Literal["both", "embedding", "findings"]
MODES: tuple[Mode, ...] = ("both", "embedding", "findings")
MAX_RESULTS, MAX_OFFSET = 100, 1000
_SENTENCE_END = re.compile(r"[.!?;]\s+\S|\n\s*\S")
_AXES = ("side", "zone", "severity", "acuity")


@dataclass(frozen=True, slots=True)
class FindingQuery:
    """One finding that is asked for; an empty field asks for anything.

    Args:
        disease: its canonical name; empty: any finding with the descriptors.
        side: `left`, `right`, or both.
        zone, severity, acuity: canonical descriptors on the ontology's axes of those names.
        change: what has become of it since the prior study, such as `larger`.
        other: descriptors on no axis, such as `patchy`; like `change`, they rank and never exclude.
        denied: the text says that it is absent.
        uncertain: the text says that it is possible.
    """

    disease: str = ""
    side: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    acuity: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    denied: bool = False
    uncertain: bool = False

    @classmethod
    def of(cls, finding: Finding, *, contradictions: Contradictions = DEFAULT_CONTRADICTIONS) -> FindingQuery:
        """What the recogniser read as `finding`, its descriptors by axis."""
        said: dict[str, list[str]] = {axis: [] for axis in (*_AXES, "change", "other")}
        if finding.change is not None:
            said["change"].append(finding.change)
        for word in (*finding.adjectives, *finding.directions):
            axes = [axis for axis in _AXES if word in contradictions.axes.get(axis, ())]
            said[axes[0] if axes else "other"].append(word)
        return cls(
            disease=finding.disease,
            denied=finding.assertion == "absent",
            uncertain=finding.assertion == "uncertain",
            **{axis: tuple(words) for axis, words in said.items()},
        )

    @property
    def descriptors(self) -> tuple[str, ...]:
        """All descriptors, in the order in which a report says them."""
        return (*self.severity, *self.acuity, *self.change, *self.other, *self.side, *self.zone)

    @property
    def words(self) -> str:
        """The finding as words: `possible large left pleural effusion`."""
        sides = ("bilateral",) if set(SIDES) <= set(self.side) else self.side
        said = (*self.severity, *self.acuity, *self.change, *self.other, *sides, *self.zone)
        before = ("no",) if self.denied else ("possible",) if self.uncertain else ()
        return " ".join((*before, *said, self.disease or "finding"))

    def as_finding(self) -> Finding:
        """The record that agreement is computed on."""
        assertion: Literal["absent", "uncertain", "present"] = (
            "absent" if self.denied else "uncertain" if self.uncertain else "present"
        )
        adjectives = (*self.severity, *self.acuity, *self.change, *self.other)
        return Finding(self.disease, assertion, tuple(sorted(adjectives)), tuple(sorted((*self.side, *self.zone))))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The findings of a query by what they ask of a hit.

    Args:
        must: hits have these, or come after all that do.
        must_not: hits whose report is read do not report these.
        like: hits that have these (or lack them, where `denied`) rank higher.
    """

    must: tuple[FindingQuery, ...] = ()
    must_not: tuple[FindingQuery, ...] = ()
    like: tuple[FindingQuery, ...] = ()

    def __post_init__(self) -> None:
        """What must be there is stated, and what must not is denied, whatever the caller wrote."""
        object.__setattr__(self, "must", tuple(replace(q, denied=False) for q in self.must))
        object.__setattr__(self, "must_not", tuple(replace(q, denied=True) for q in self.must_not))

    def __bool__(self) -> bool:
        return bool(self.must or self.must_not or self.like)

    @property
    def all(self) -> tuple[FindingQuery, ...]:
        """Every finding of the query, must-haves first."""
        return (*self.must, *self.must_not, *self.like)


@dataclass(frozen=True, slots=True)
class Query:
    """A question to an index.

    Exactly one of `image` and `study_id` may be given, `text` alone or beside either.

    Args:
        text: words or a whole report.
        image: a grayscale uint8 picture [H W].
        study_id: a study of the index, which is left out of the hits.
        using: ask by the study's image or by its report.
        against: compare with the studies' images or reports.
        image_weight: share of the picture (or study) in the query's vector where there is text as well, 0 … 1.
        must, must_not, like: the findings asked for. None: read from `text` (see `read_query`).
        filters: what every hit fulfils, whatever its rank.
        mode: rank by `embedding` alone, by `findings` alone (similarity orders equals), or by `both`.
        one_per_patient: show the best study of each patient only.
        exact: compare with every vector, also where an approximate index is there.
        offset: hits to pass over (paging).
        k: hits to return.

    Examples:
        >>> import medtrim
        >>> query = medtrim.Query("large left pleural effusion", against="text", k=5)
        >>> query.text, query.k
        ('large left pleural effusion', 5)
    """

    text: str = ""
    image: NDArray[np.uint8] | None = None
    study_id: str = ""
    using: Side = "image"
    against: Side = "image"
    image_weight: float = 0.5
    must: tuple[FindingQuery, ...] | None = None
    must_not: tuple[FindingQuery, ...] | None = None
    like: tuple[FindingQuery, ...] | None = None
    filters: Filters = field(default=NO_FILTERS)
    mode: Mode = "both"
    one_per_patient: bool = False
    exact: bool = False
    offset: int = 0
    k: int = 10

    def check(self) -> None:
        """Raise a `ConfigError` where the query asks for nothing, or an option is out of range."""
        if self.image is not None and self.study_id:
            raise ConfigError("give an image or a study, not both")
        if self.image is None and not self.study_id and not self.text.strip():
            raise ConfigError("the query text is empty")
        if not 1 <= self.k <= MAX_RESULTS:
            raise ConfigError(f"the number of results must lie in 1 … {MAX_RESULTS}, not {self.k}")
        if not 0 <= self.offset <= MAX_OFFSET:
            raise ConfigError(f"the offset must lie in 0 … {MAX_OFFSET}, not {self.offset}")
        if not 0 <= self.image_weight <= 1:
            raise ConfigError(f"image_weight must lie in 0 … 1, not {self.image_weight}")
        for name, value, allowed in (
            ("mode", self.mode, MODES),
            ("against", self.against, ("image", "text")),
            ("using", self.using, ("image", "text")),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def read_query(
    text: str, findings: Sequence[Finding], *, contradictions: Contradictions = DEFAULT_CONTRADICTIONS
) -> Wanted:
    """What `text`, in which the recogniser reads `findings`, asks of a hit.

    Words in one sentence are a demand: what they state must be there, what they deny must not. A text of several
    sentences is a report: studies like it are sought, so that nothing in it is demanded. Stated normality
    (`no finding`) is a likeness in both.
    """
    asked = distinct(FindingQuery.of(f, contradictions=contradictions) for f in findings)
    normal = tuple(q for q in asked if q.disease == NO_FINDING and not q.denied)
    asked = tuple(q for q in asked if q.disease != NO_FINDING)
    if _SENTENCE_END.search(text.strip()):
        return Wanted(like=asked + normal)
    stated = {q.disease for q in asked if not q.denied}
    denied = tuple(q for q in asked if q.denied and q.disease not in stated)
    return Wanted(tuple(q for q in asked if not q.denied), denied, normal)


def distinct(queries: Iterable[FindingQuery]) -> tuple[FindingQuery, ...]:
    """Each once, in order of appearance."""
    return tuple(dict.fromkeys(queries))
