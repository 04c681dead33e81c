"""What the score counts and how much each part weighs."""

from __future__ import annotations

import math
from dataclasses import asdict, field
from typing import Annotated, Any

from pydantic import ConfigDict, Strict
from pydantic.dataclasses import dataclass

from medtrim.errors import ConfigError
from medtrim.types import ASSERTIONS, DISEASES, NO_FINDING

# Scores are rounded to this many decimals, so that what is equal on paper is equal in floating point: sums of the
# same fractions in another order differ in the last bit, and miners compare scores for ties and with thresholds.
SCORE_DECIMALS = 12
MODES: tuple[str, ...] = ("faithful", "symmetric")
UNREAD: tuple[str, ...] = ("apart", "normal")
# Of every mining option: an unknown key and a value of another type are errors ("5" is no number).
SETTINGS = ConfigDict(extra="forbid", strict=True)


def check_thresholds(semi_hard: float, ceiling: float) -> None:
    """Raise a `ConfigError` unless 0 ≤ semi_hard < ceiling."""
    if not 0 <= semi_hard < ceiling:
        raise ConfigError(f"thresholds semi_hard {semi_hard}, ceiling {ceiling}; needed: 0 ≤ semi_hard < ceiling")


@dataclass(frozen=True, slots=True, config=SETTINGS)
class ScoreWeights:
    """Weights of the three terms of S; the defaults are those of the authors' code.

    They may sum to anything positive (S then ranges over [0, sum]), since only the miners' thresholds depend on
    the scale; `total` lets a caller say so.

    Raises:
        ConfigError: a weight is negative or not finite, or all three are 0.
    """

    disease: float = 0.85
    adjective: float = 0.10
    direction: float = 0.05

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not math.isfinite(value) or value < 0:
                raise ConfigError(f"score weight {name!r} is {value}, allowed: a finite number from 0 up")
        if self.total == 0:
            raise ConfigError("all three score weights are 0, so every pair would score 0")

    @property
    def total(self) -> float:
        """The sum of the weights: the score of a study with diseases against itself."""
        return self.disease + self.adjective + self.direction


@dataclass(frozen=True, slots=True, config=SETTINGS)
class ScoreConfig:
    """Everything the score depends on besides the annotations.

    Args:
        weights: of the disease, adjective and direction terms.
        mode: `faithful` divides the descriptor sums by the anchor's number of diseases, as the paper's code
            does; `symmetric` divides by the number of diseases that either study has.
        diseases: canonical diseases that count; findings of any other are ignored.
        assertions: findings with one of these assertions count.
        unread: what a study is whose report was not read: `apart` from every other, or `normal`, as in the
            authors' code, which takes every study without a recognised disease for normal.

    Raises:
        ConfigError: unknown mode or assertion, no or repeated diseases.
    """

    weights: ScoreWeights = field(default_factory=ScoreWeights)
    mode: str = "faithful"
    diseases: Annotated[tuple[str, ...], Strict(False)] = DISEASES
    assertions: Annotated[tuple[str, ...], Strict(False)] = ("present", "uncertain")
    unread: str = "apart"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"score mode {self.mode!r}, allowed: {', '.join(MODES)}")
        if self.unread not in UNREAD:
            raise ConfigError(f"score unread {self.unread!r}, allowed: {', '.join(UNREAD)}")
        unknown = [a for a in self.assertions if a not in ASSERTIONS]
        if unknown or not self.assertions:
            raise ConfigError(f"assertions {list(self.assertions)}, allowed: {', '.join(ASSERTIONS)}")
        if not self.diseases:
            raise ConfigError("no disease counts, so every study would be alike")
        if len(set(self.diseases)) < len(self.diseases):
            raise ConfigError(f"diseases are repeated: {', '.join(self.diseases)}")
        if NO_FINDING in self.diseases:
            raise ConfigError(f"{NO_FINDING!r} is no disease: a study without any counted disease has it by itself")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for provenance."""
        return {
            "weights": asdict(self.weights),
            "mode": self.mode,
            "diseases": list(self.diseases),
            "assertions": list(self.assertions),
            "unread": self.unread,
        }
