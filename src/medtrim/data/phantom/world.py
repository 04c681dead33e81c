"""`World`: the parameters that phantoms are drawn with, from `worlds.yaml`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

from medtrim.errors import ConfigError
from medtrim.types.yamlfile import load_yaml

Weights = Mapping[str, float]
Pair = tuple[float, float]
WORLDS = "worlds.yaml"


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One generator of phantoms; what each number is, `worlds.yaml` says beside it."""

    name: str
    phrases: str
    normal: float
    hedged: float
    settings: Weights
    sizes: Weights
    severities: Weights
    age: Pair
    width: Pair
    height: Pair
    fat: Pair
    heart: Pair
    portable: Pair
    scale: Pair
    shift_y: float
    breath: Pair
    contrast: Pair
    noise: Pair
    exposure: float
    heel: float
    collimated: float
    marked: float
    dome: Pair
    left_dome: float
    heart_left: float
    lung_edge: float
    air: float
    hilum: float
    depth: Pair
    bone: float
    vessel: float
    rib_slope: Pair
    rib_step: Pair
    rib_width: Pair
    variant: int
    texture: int
    mottle: float
    spectra: Mapping[str, tuple[float, int, int]]
    curve: Pair
    tone: str
    edges: float
    scatter: float
    marker: Pair
    place_first: float
    measured: float
    impression_only: float
    findings_only: float
    technique: float
    lungs_first: float
    numbered: float
    stable: float
    new: float

    @property
    def words(self) -> dict[str, Any]:
        """The reports' wording."""
        return _read(self.phrases)


class Lots(random.Random):
    """A random stream that knows the world it draws for."""

    world: World


@lru_cache(maxsize=8)
def _read(name: str) -> dict[str, Any]:
    source = files("medtrim.data.phantom").joinpath(name)
    tables: dict[str, Any] = load_yaml(source.read_text(encoding="utf-8"), source=name)
    return tables


def world_names() -> tuple[str, ...]:
    """The worlds there are."""
    return tuple(_read(WORLDS))


@lru_cache(maxsize=8)
def load_world(name: str = "A") -> World:
    """The world of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in world_names():
        raise ConfigError(f"phantom: no world {name!r}; worlds: {', '.join(world_names())}")
    values = _read(WORLDS)[name]
    missing = {f.name for f in fields(World)} - {"name"} ^ set(values)
    if missing:
        raise ConfigError(f"{WORLDS}: {name}: {', '.join(sorted(missing))} missing or unknown")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return World(name=name, **given)


def lots_for(world: World, seed: int) -> Lots:
    """A random stream for `world`."""
    lots = Lots(seed)
    lots.world = world
    return lots
