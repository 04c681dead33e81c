"""Prompt ensembles for zero-shot classification, read from `prompts.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medtrim.errors import ConfigError
from medtrim.types import NO_FINDING
from medtrim.types.yamlfile import load_yaml, read_yaml


class _Pair(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    positive: list[str] = Field(min_length=1)
    negative: list[str] = Field(min_length=1)


class _End(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    level: int
    prompts: list[str] = Field(min_length=1)


class PromptConfig(BaseModel):
    """The schema of a prompts file; `names` maps a disease to how reports call it.

    A contrast has two ends; scoring high means its first one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    positive: list[str] = Field(min_length=1)
    negative: list[str] = Field(min_length=1)
    names: dict[str, list[str]]
    normal: _Pair
    contrasts: dict[str, dict[str, _End]]


@dataclass(frozen=True, slots=True)
class PromptPair:
    """Two sets of prompts, one for each answer."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Prompts for two ends of a descriptor axis within one disease, such as right against left pleural effusion."""

    axis: str
    disease: str
    label: str
    positive_level: int
    negative_level: int
    prompts: PromptPair


def load_prompts(path: Path | str | None = None) -> PromptConfig:
    """The prompts file at `path`, or the packaged one.

    Raises:
        ConfigError: unknown or missing keys, or a contrast without exactly two ends.
    """
    data: Any
    if path is None:
        text = resources.files("medtrim.evaluation").joinpath("prompts.yaml").read_text(encoding="utf-8")
        data = load_yaml(text, source="prompts.yaml")
    else:
        data = read_yaml(path)
    try:
        config = PromptConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path or 'prompts.yaml'}: {place}: {first['msg']}") from error
    for axis, ends in config.contrasts.items():
        if len(ends) != 2:
            raise ConfigError(f"{path or 'prompts.yaml'}: contrast {axis!r} has {len(ends)} ends, two expected")
    return config


def disease_prompts(config: PromptConfig, disease: str) -> PromptPair:
    """Prompts that affirm and deny `disease`; a disease without names goes by its own.

    `no finding` is denied by prompts in which {name} runs through the names of all diseases.
    """
    if disease == NO_FINDING:
        every = [name for names in config.names.values() for name in names]
        negative = dict.fromkeys(_fill(config.normal.negative, every))
        return PromptPair(tuple(config.normal.positive), tuple(negative))
    names = _names(config, disease)
    return PromptPair(_fill(config.positive, names), _fill(config.negative, names))


def contrasts_of(config: PromptConfig, disease: str) -> list[Contrast]:
    """Every descriptor contrast within `disease`."""
    names = _names(config, disease)
    found = []
    for axis, ends in config.contrasts.items():
        (first, high), (second, low) = ends.items()
        prompts = PromptPair(_fill(high.prompts, names), _fill(low.prompts, names))
        label = f"{disease}: {first} or {second}"
        found.append(Contrast(axis, disease, label, high.level, low.level, prompts))
    return found


def _names(config: PromptConfig, disease: str) -> Sequence[str]:
    names: Mapping[str, Sequence[str]] = config.names
    return names.get(disease) or (disease,)


def _fill(templates: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(template.replace("{name}", name) for template in templates for name in names)
