"""Range checks of an objective's options; `build_objective` has checked their types."""

from __future__ import annotations

import math

from medtrim.errors import ConfigError


def at_least(name: str, value: float, least: float) -> float:
    """`value`; ConfigError if it is not finite or below `least`."""
    if not math.isfinite(value) or value < least:
        raise ConfigError(f"{name} must be a finite number of at least {least:g}; received {value!r}")
    return value


def above(name: str, value: float, bound: float) -> float:
    """`value`; ConfigError if it is not a finite number above `bound`."""
    if not math.isfinite(value) or value <= bound:
        raise ConfigError(f"{name} must be a finite number above {bound:g}; received {value!r}")
    return value


def within(name: str, value: float, low: float, high: float) -> float:
    """`value`; ConfigError if it does not lie in [low, high]."""
    if not low <= value <= high:
        raise ConfigError(f"{name} must be a number from {low:g} to {high:g}; received {value!r}")
    return value
