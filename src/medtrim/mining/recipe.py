"""A mining recipe: which miner, with which options, by which score; read from YAML, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.score_config import ScoreConfig, ScoreWeights
from medtrim.types.settings import merge, nearest, validated
from medtrim.types.yamlfile import read_yaml

MINERS: Mapping[str, type[PoolConfig] | type[CorpusConfig]] = {"pool": PoolConfig, "corpus": CorpusConfig}


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
    data = (read_yaml(path) if path else None) or {}
    source = str(path) if path else "options"
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected keys and values, found {type(data).__name__}")
    given = {k: v for k, v in (score or {}).items() if v is not None}
    over = {k: v for k, v in (options or {}).items() if v is not None} | ({"score": given} if given else {})
    return read_recipe(merge(data, over), source=source)


def read_recipe(data: Mapping[str, Any], *, source: str = "mining recipe") -> Recipe:
    """A recipe from plain data: `{miner: pool, score: {weights: {…}, mode: …}, <options of the miner>}`.

    Raises:
        ConfigError: an unknown key (the message lists the allowed ones and the nearest) or a value out of range.
    """
    options = dict(data)
    miner = options.pop("miner", "pool")
    if miner not in MINERS:
        raise ConfigError(f"{source}: unknown miner {miner!r}{nearest(miner, MINERS)}")
    score = dict(_mapping(options.pop("score", {}), f"{source}: score"))
    weights = _mapping(score.pop("weights", {}), f"{source}: score.weights")
    score["weights"] = validated(ScoreWeights, weights, source=f"{source}: score.weights")
    return Recipe(
        miner,
        validated(MINERS[miner], options, source=source, also=("miner", "score")),
        validated(ScoreConfig, score, source=f"{source}: score"),
    )


def _mapping(value: Any, source: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: expected keys and values, found {type(value).__name__}")
    return value
