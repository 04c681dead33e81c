"""Which studies of an index may be found: conditions on what their reports say and on their columns.

A condition is data: the table takes it as SQL (`sql`), an archive in memory evaluates it itself (`resident`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from medtrim.errors import ConfigError
from medtrim.types import DEFAULT_CONTRADICTIONS, NO_FINDING, SIDES, Contradictions, Finding

ANY = "*"
SILENT_LEVEL = "-"
Said = Literal["", "present", "uncertain", "absent"]


@dataclass(frozen=True, slots=True)
class Marked:
    """The study's facets have at least one of `marks`."""

    marks: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        return f"array_has_any(facets, [{', '.join(map(quoted, self.marks))}])"


@dataclass(frozen=True, slots=True)
class Among:
    """A column has one of `values`."""

    column: str
    values: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        return f"{self.column} IN ({', '.join(map(quoted, self.values))})"


@dataclass(frozen=True, slots=True)
class Between:
    """A column that is not empty lies in `first` … `last`, both included; an empty bound is none."""

    column: str
    first: str = ""
    last: str = ""

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        parts = [f"{self.column} != ''"]
        parts += [f"{self.column} >= {quoted(self.first)}"] if self.first else []
        parts += [f"{self.column} <= {quoted(self.last)}"] if self.last else []
        return f"({' AND '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes-or-no column says yes."""

    column: str

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        return self.column


@dataclass(frozen=True, slots=True)
class Every:
    """All of `parts` hold."""

    parts: tuple[Condition, ...]

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        return f"({' AND '.join(part.sql for part in self.parts)})"


@dataclass(frozen=True, slots=True)
class Not:
    """`condition` does not hold."""

    condition: Condition

    @property
    def sql(self) -> str:
        """The condition on the table's columns."""
        return f"NOT {self.condition.sql}"


Condition: TypeAlias = Marked | Among | Between | Flag | Every | Not


@dataclass(frozen=True, slots=True)
class Filters:
    """What every hit fulfils; an empty field does not restrict.

    Args:
        disease: studies whose report says so; a side without a disease asks for any finding on that side.
        side: `left` or `right`.
        said: how the report speaks of `disease`: `present`, `uncertain`, `absent`; empty: present or uncertain.
        views: views of the found image, such as `("PA", "AP")`.
        patient_id: studies of this patient.
        since, until: first and last date, as the date column writes it (ISO: 2024-03-31).
        columns: values of further columns that were named at indexing.
        read: only studies whose report was read, or only those whose was not.
    """

    disease: str = ""
    side: str = ""
    said: Said = ""
    views: tuple[str, ...] = ()
    patient_id: str = ""
    since: str = ""
    until: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    read: bool | None = None

    def check(self, diseases: Sequence[str], columns: Sequence[str] = ()) -> None:
        """Raise a `ConfigError` that lists what is allowed where a field is unknown to the index."""
        if self.disease and self.said != "absent" and self.disease not in diseases:
            raise ConfigError(f"no study of the index reports {self.disease!r}; it has: {', '.join(diseases)}")
        if self.side and self.side not in SIDES:
            raise ConfigError(f"side must be one of {', '.join(SIDES)}, not {self.side!r}")
        if self.side and self.disease == NO_FINDING:
            raise ConfigError(f"{NO_FINDING!r} has no side")
        if self.said and (not self.disease or self.side):
            raise ConfigError("said goes with a disease, and without a side")
        for name in self.columns:
            if name not in columns:
                raise ConfigError(
                    f"the index has no column {name!r}; it has: {', '.join(columns) or 'none'} "
                    "(medtrim index --column NAME keeps a column of the studies table)"
                )

    def conditions(self, columns: Sequence[str] = ()) -> list[Condition]:
        """Conditions on the index's table, whose further columns are `column_0` … in the order of `columns`."""
        found: list[Condition] = []
        if self.said:
            found.append(Marked((facet(self.disease, "said", self.said),)))
        elif self.disease or self.side:
            level = str(SIDES.index(self.side)) if self.side else ""
            found.append(Marked((facet(self.disease or ANY, "side" if self.side else "", level),)))
        if self.views:
            found.append(Among("view", self.views))
        if self.patient_id:
            found.append(Among("patient_id", (self.patient_id,)))
        if self.since or self.until:
            found.append(Between("date", self.since, self.until))
        found += [Among(f"column_{columns.index(name)}", (v,)) for name, v in self.columns.items()]
        if self.read is not None:
            found.append(Flag("read") if self.read else Not(Flag("read")))
        return found


NO_FILTERS = Filters()


def quoted(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def facet(disease: str, axis: str = "", level: str = "") -> str:
    """One entry of the `facets` column: a disease, or a disease at a level of an axis."""
    return f"{disease}|{axis}:{level}" if axis else disease


def facets(
    findings: Iterable[Finding], *, read: bool = True, contradictions: Contradictions = DEFAULT_CONTRADICTIONS
) -> list[str]:
    """Everything that a study can be filtered by, sorted; nothing for a report that was not read.

    A finding that is silent on an axis has the level `-` there: it contradicts nothing that is asked for.
    """
    found: set[str] = set()
    for finding in findings:
        if finding.disease == NO_FINDING:
            continue
        found.add(facet(finding.disease, "said", finding.assertion))
        if finding.assertion == "absent":
            continue
        found.add(finding.disease)
        for axis in contradictions.axes:
            levels = contradictions.levels(axis, (*finding.adjectives, *finding.directions))
            found |= {facet(finding.disease, axis, str(level)) for level in levels or [SILENT_LEVEL]}
            found |= {facet(ANY, axis, str(level)) for level in levels}
    if read and not any("|" not in mark for mark in found):
        found.add(NO_FINDING)
    return sorted(found)


def has_finding(disease: str, descriptors: Sequence[str], *, contradictions: Contradictions) -> Condition:
    """The report has `disease` (empty: anything), and on no axis do all its findings contradict `descriptors`.

    Every study with one finding that meets all of them satisfies it; so may one that meets them with several.
    """
    conditions: list[Condition] = [Marked((disease,)) if disease else Not(Marked((NO_FINDING,)))]
    for axis in contradictions.axes:
        levels = sorted(contradictions.levels(axis, descriptors))
        if levels:
            allowed = [*map(str, levels), *([SILENT_LEVEL] if disease else [])]
            conditions.append(Marked(tuple(facet(disease or ANY, axis, level) for level in allowed)))
    return Every(tuple(conditions))
