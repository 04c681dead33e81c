"""The methods that a comparison may hold (`methods.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from medtrim.errors import ConfigError
from medtrim.types.yamlfile import load_yaml


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """What is trained under a method's key; `triplets` says that its batches come from mined triplets.

    `normals` is the share of the normal studies that its batches deal (`batch.normals`). `rates` are the
    recipe's learning rates that suit encoders from random weights, `tuning` says how they were chosen, `caution`
    what was searched for this method and no other.
    """

    key: str
    label: str
    description: str
    objective: Mapping[str, Any]
    rates: Mapping[str, float]
    tuning: str
    caution: str = ""
    triplets: bool = False
    normals: float = 1.0


@cache
def method_specs() -> Mapping[str, MethodSpec]:
    """Every method by key."""
    source = resources.files("medtrim.experiments") / "methods.yaml"
    data: dict[str, Any] = load_yaml(source.read_text(encoding="utf-8"), source="methods.yaml")
    return {key: MethodSpec(key=key, **fields) for key, fields in data.items()}


def choose_methods(keys: Sequence[str]) -> tuple[MethodSpec, ...]:
    """The methods of `keys`, in that order.

    Raises:
        ConfigError: there is none, one is unknown (the message lists those there are), or one is named twice.
    """
    specs = method_specs()
    for key in keys:
        if key not in specs:
            raise ConfigError(f"unknown method {key!r}; allowed: {', '.join(specs)}")
    if not keys or len(set(keys)) != len(keys):
        raise ConfigError("name at least one method, each once")
    return tuple(specs[key] for key in keys)
