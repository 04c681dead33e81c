"""Reading a recipe: packaged base, the user's YAML, then overrides; everything wrong with it is said at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective, objective_options
from medtrim.training.config import TrainConfig
from medtrim.types.yamlfile import load_yaml, read_yaml

RECIPES = ("tiny-cpu", "paper", "single-gpu")


def read_recipe(name: str) -> dict[str, Any]:
    """The packaged recipe `name` as plain data.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}{_nearest(name, RECIPES)}")
    text = resources.files("medtrim.training").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = load_yaml(text, source=f"recipe {name}")
    return values


def load_config(path: Path | str | None = None, overrides: Iterable[str] | Mapping[str, Any] = ()) -> TrainConfig:
    """The recipe in the YAML file `path`, changed by `overrides`.

    A key `recipe` in the file or the overrides names the packaged recipe that everything else is laid over,
    section by section. Relative paths in the file start from the folder of the file; relative paths in overrides
    from the working directory.

    Args:
        path: YAML file; None starts from the packaged recipe alone.
        overrides: `key.subkey=value` words, values read as YAML (`2e-5` is a number), or nested plain data.

    Raises:
        ConfigError: unreadable or malformed; the message lists every unknown key with the nearest allowed one and
            every value out of range.
    """
    layers: list[dict[str, Any]] = []
    if path is not None:
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: a recipe is a mapping of keys to values")
        layers.append(_rooted(values, Path(path).parent))
    layers.append(dict(overrides) if isinstance(overrides, Mapping) else parse_overrides(overrides))
    return build_config(*layers, source=str(path or "recipe"))


def build_config(*layers: Mapping[str, Any], source: str = "recipe") -> TrainConfig:
    """A configuration from plain data, later layers over earlier ones, all over the packaged `recipe` they name.

    Raises:
        ConfigError: as `load_config`.
    """
    base = next((layer["recipe"] for layer in reversed(layers) if layer.get("recipe") is not None), None)
    merged: dict[str, Any] = {} if base is None else read_recipe(str(base))
    for layer in layers:
        merged = _lay_over(merged, {key: value for key, value in layer.items() if key != "recipe"})
    problems: list[str] = []
    config: TrainConfig | None = None
    try:
        config = TrainConfig.model_validate(merged)
    except ValidationError as error:
        problems += [_explain(detail) for detail in error.errors(include_url=False)]
    problems += _objective_problems(merged.get("objective"))
    if problems or config is None:
        raise ConfigError(f"{source}: " + "; ".join(problems))
    return config


def _lay_over(base: dict[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`merge`, but another objective starts without the options of the one before: they mean nothing to it."""
    given, own = layer.get("objective"), base.get("objective")
    if isinstance(given, Mapping) and isinstance(own, Mapping):
        before = own.get("name")
        if given.get("name", before) != before:
            base = {**base, "objective": {}}
    return merge(base, layer)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over`, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_overrides(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain data of `a.b=value` words.

    Raises:
        ConfigError: a word has no `=`, or a value is no YAML.
    """
    pairs: list[tuple[str, Any]] = []
    if isinstance(overrides, Mapping):
        pairs += overrides.items()
    else:
        for word in overrides:
            key, equals, text = word.partition("=")
            if not equals or not key:
                raise ConfigError(f"{word!r} is no key=value")
            pairs.append((key, load_yaml(text, source=word)))
    nested: dict[str, Any] = {}
    for key, value in pairs:
        for name in reversed(key.strip().split(".")):
            value = {name: value}
        nested = merge(nested, value)
    return nested


def allowed_keys(location: Iterable[int | str]) -> tuple[str, ...]:
    """The keys that the section at `location` of a recipe has; empty where there is no such section."""
    section: Any = TrainConfig
    for part in location:
        field = section.model_fields.get(part)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if section is None:
            return ()
    return tuple(section.model_fields)


def _explain(detail: ErrorDetails) -> str:
    *parents, key = detail["loc"] or ("",)
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        allowed = allowed_keys(parents)
        if not parents:
            allowed = (*allowed, "recipe")
        return f"unknown key {name!r}{_nearest(str(key), allowed)}"
    if detail["type"] == "missing":
        return f"{name} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    shown = detail["input"]
    return f"{name}: {message}, not {shown!r}" if name and isinstance(shown, str | int | float) else message


def _objective_problems(section: Any) -> list[str]:
    """What the objective itself has to say about its options."""
    if not isinstance(section, Mapping) or not isinstance(section.get("options", {}), Mapping):
        return []
    try:
        options = dict(section.get("options", {}))
        name = str(section.get("name", "medtrim"))
        objective_options(name)
        build_objective(name, dimension=2, classes=2, **options)
    except ConfigError as error:
        return [] if "there is no objective" in str(error) else [f"objective.options: {error}"]
    return []


def _rooted(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`values` with the paths of a recipe file made to start from its folder."""
    rooted = dict(values)
    if isinstance(values.get("out"), str):
        rooted["out"] = str(folder / values["out"])
    data = values.get("data")
    if isinstance(data, Mapping):
        paths = ("studies", "annotations", "triplets", "image_root", "cache")
        rooted["data"] = {k: str(folder / v) if k in paths and isinstance(v, str) else v for k, v in data.items()}
    return rooted


def _nearest(name: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f", is {close[0]!r} meant?" if close else ""
    return f"{guess} (allowed: {', '.join(names)})" if names else guess
