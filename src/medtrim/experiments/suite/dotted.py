"""Dotted keys, such as `objective.options.margin`, into nested plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def holds(values: Mapping[str, Any], key: str) -> bool:
    """Whether nested `values` say something of `key`, be it null."""
    here: Any = values
    for name in key.split("."):
        if not isinstance(here, Mapping) or name not in here:
            return False
        here = here[name]
    return True


def under(pairs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The pairs whose key starts with `prefix.`, without it."""
    return {k.removeprefix(f"{prefix}."): v for k, v in pairs.items() if k.startswith(f"{prefix}.")}


def without(pairs: Mapping[str, Any], prefixes: Iterable[str]) -> dict[str, Any]:
    """The pairs whose key starts with none of `prefixes`."""
    starts = tuple(f"{prefix}." for prefix in prefixes)
    return {k: v for k, v in pairs.items() if not k.startswith(starts)}
