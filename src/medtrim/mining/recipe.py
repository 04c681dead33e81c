"""A mining recipe: which miner, with which options, by which score; read from YAML, unknown keys refused."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from medtrim.errors import ConfigError
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.score_config import ScoreConfig, ScoreWeights
from medtrim.types.yamlfile import read_yaml

MINERS: Mapping[str, type[PoolConfig] | type[CorpusConfig]] = {"pool": PoolConfig, "corpus": CorpusConfig}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The score and the miner's options; `miner` is a key of `MINERS`."""

    miner: str = "pool"
    options: PoolConfig | CorpusConfig = field(default_factory=PoolConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for provenance."""
        return {**self.options.to_dict(), "score": self.score.to_dict()}


def load_recipe(
    path: Path | str | None, *, options: Mapping[str, Any] | None = None, score: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe in the YAML file `path`, overridden by those of `options` and `score` that are not None."""
    data = read_yaml(path) if path else {}
    source = str(path) if path else "options"
    if data is not None and not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected keys and values, found {type(data).__name__}")
    merged = {**(data or {}), **{k: v for k, v in (options or {}).items() if v is not None}}
    given = {k: v for k, v in (score or {}).items() if v is not None}
    if given:
        merged["score"] = {**_mapping(merged.get("score") or {}, f"{source}: score"), **given}
    return read_recipe(merged, source=source)


def read_recipe(data: Mapping[str, Any], *, source: str = "mining recipe") -> Recipe:
    """A recipe from plain data: `{miner: pool, score: {weights: {…}, mode: …}, <options of the miner>}`.

    Raises:
        ConfigError: an unknown key (the message lists the allowed ones and the nearest) or a value out of range.
    """
    options = dict(data)
    miner = options.pop("miner", "pool")
    if miner not in MINERS:
        raise ConfigError(f"{source}: unknown miner {miner!r}, allowed: {', '.join(MINERS)}")
    score = dict(_mapping(options.pop("score", {}), f"{source}: score"))
    weights = _mapping(score.pop("weights", {}), f"{source}: score.weights")
    score_config = _build(
        ScoreConfig, score, f"{source}: score", weights=_build(ScoreWeights, weights, f"{source}: score.weights")
    )
    return Recipe(miner, _build(MINERS[miner], options, source, also=("miner", "score")), score_config)


def _mapping(value: Any, source: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: expected keys and values, found {type(value).__name__}")
    return value


def _build(kind: type[T], values: Mapping[str, Any], source: str, *, also: tuple[str, ...] = (), **given: Any) -> T:
    """An instance of dataclass `kind` from plain values, each checked against the type of the field's default."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    allowed = [*also, *fields]
    default = kind(**given)
    checked: dict[str, Any] = dict(given)
    for name, value in values.items():
        if name not in fields:
            close = difflib.get_close_matches(str(name), allowed, n=1)
            hint = f"; is {close[0]!r} meant?" if close else ""
            raise ConfigError(f"{source}: unknown key {name!r}{hint} (allowed: {', '.join(allowed)})")
        checked[name] = _conform(value, getattr(default, name), f"{source}: {name}")
    return kind(**checked)


def _conform(value: Any, example: Any, source: str) -> Any:
    """`value` in the type of `example`; a whole number may stand for a float, a list for a tuple."""
    if isinstance(example, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(example, tuple) and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if example is None or type(value) is type(example):
        return value
    raise ConfigError(f"{source} is {value!r}, expected {type(example).__name__}")
