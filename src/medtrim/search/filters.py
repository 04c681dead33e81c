"""Which studies of an index may be found: by reported disease and by the side it is reported on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.evaluation.agreement import disease_states
from medtrim.types import NO_FINDING, SIDES, Finding

ANY = "*"


@dataclass(frozen=True, slots=True)
class Filters:
    """Only studies that report `disease`, on `side`; an empty field does not restrict.

    A side without a disease asks for any finding on that side.
    """

    disease: str = ""
    side: str = ""

    def check(self, diseases: Sequence[str]) -> None:
        """Raise a `ConfigError` that lists what is allowed where a field is unknown to the index."""
        if self.disease and self.disease not in diseases:
            raise ConfigError(f"no study of the index reports {self.disease!r}; it has: {', '.join(diseases)}")
        if self.side and self.side not in SIDES:
            raise ConfigError(f"side must be one of {', '.join(SIDES)}, not {self.side!r}")
        if self.side and self.disease == NO_FINDING:
            raise ConfigError(f"{NO_FINDING!r} has no side")

    @property
    def where(self) -> str | None:
        """The SQL condition on the index's `facets` column, or None where nothing is restricted."""
        if not self.disease and not self.side:
            return None
        wanted = facet(self.disease or ANY, self.side)
        return "array_has(facets, '" + wanted.replace("'", "''") + "')"


NO_FILTERS = Filters()


def facet(disease: str, side: str = "") -> str:
    """One entry of the `facets` column: a disease, or a disease on a side."""
    return f"{disease}|{side}" if side else disease


def facets(findings: Iterable[Finding]) -> list[str]:
    """Everything that a study can be filtered by, sorted."""
    found = set()
    for state in disease_states(findings):
        found.add(facet(state.disease))
        for side in SIDES:
            if side in state.directions:
                found |= {facet(state.disease, side), facet(ANY, side)}
    return sorted(found)
