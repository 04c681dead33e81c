"""Reading a recipe: packaged base, the user's YAML, then overrides; everything wrong with it is said at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective, objective_options
from medtrim.training.config import TrainConfig
from medtrim.types.settings import explain, merge, nearest, nested
from medtrim.types.yamlfile import load_yaml, read_yaml

RECIPES = ("tiny-cpu", "pretrained-cpu", "paper", "single-gpu")

_ROUNDS = 4  # a section that is no mapping, a key that it needs, its values, and rules over several sections
_UNKNOWN = "not-given"  # stands for a needed path, so that the rest of a recipe can be checked


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """A recipe as far as it can be understood.

    Attributes:
        config: the recipe without what is wrong with it; None where nothing is left to go on.
        problems: everything that is wrong, one by one.
        missing: needed keys that were not given; `config` holds a stand-in for each, which means nothing.
        dropped: keys that were left out for what is wrong with them; what `config` holds there is a default, and
            not set by the user.
    """

    config: TrainConfig | None
    problems: tuple[str, ...]
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def read_recipe(name: str) -> dict[str, Any]:
    """The packaged recipe `name` as plain data.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}{nearest(name, RECIPES)}")
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
    given = dict(overrides) if isinstance(overrides, Mapping) else parse_overrides(overrides)
    return build_config(_read_file(path), given, source=str(path or "recipe"))


def check_config(
    path: Path | str | None, *, flags: Mapping[str, Any], settings: Iterable[str] = ()
) -> CheckedConfig:
    """What `load_config` would make of a file, `section.key` → value and `key=value` words, and all that is wrong.

    Nothing is raised: keys and values that are wrong are listed and left out, so that the rest can be checked too.
    """
    words, problems = _parse_words(settings)
    try:
        file = _read_file(path)
    except ConfigError as error:
        return CheckedConfig(None, (str(error), *problems))
    found = _check_layers(file, merge(parse_overrides(flags), words))
    return CheckedConfig(found.config, (*problems, *found.problems), found.missing, found.dropped)


def build_config(*layers: Mapping[str, Any], source: str = "recipe") -> TrainConfig:
    """A configuration from plain data, later layers over earlier ones, all over the packaged `recipe` they name.

    Raises:
        ConfigError: as `load_config`.
    """
    found = _check_layers(*layers)
    if found.problems or found.config is None:
        raise ConfigError(f"{source}: " + "; ".join(found.problems))
    return found.config


def _read_file(path: Path | str | None) -> dict[str, Any]:
    if path is None:
        return {}
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values")
    return _rooted(values, Path(path).parent)


def _check_layers(*layers: Mapping[str, Any]) -> CheckedConfig:
    base = next((layer["recipe"] for layer in reversed(layers) if layer.get("recipe") is not None), None)
    merged: dict[str, Any] = {}
    problems: list[str] = []
    if base is not None:
        try:
            merged = read_recipe(str(base))
        except ConfigError as error:
            problems.append(str(error))
    for layer in layers:
        merged = _lay_over(merged, {key: value for key, value in layer.items() if key != "recipe"})
    problems += _objective_problems(merged.get("objective"))
    found = _understand(merged)
    return replace(found, problems=(*found.problems, *problems))


def _understand(values: dict[str, Any]) -> CheckedConfig:
    """The configuration of `values`, what is wrong with them, and which keys are missing or were left out.

    What is wrong is left out and the rest tried again, since some faults show only where the others are mended.
    """
    faults: list[str] = []
    missing: list[str] = []
    dropped: list[str] = []
    for _ in range(_ROUNDS):
        try:
            config = TrainConfig.model_validate(values)
            return CheckedConfig(config, tuple(faults), tuple(missing), tuple(dropped))
        except ValidationError as error:
            details = error.errors(include_url=False)
        for detail in details:
            faults += [line for line in explain(detail, TrainConfig, also=("recipe",)) if line not in faults]
            # A rule over several sections has no place of its own; the only one is about this key.
            place = [str(part) for part in detail["loc"]] or ["batch", "sampler"]
            if detail["type"] == "missing":
                needed = "data.studies" if place == ["data"] else ".".join(place)
                missing.append(needed)
                values = merge(values, parse_overrides({needed: _UNKNOWN}))
            else:
                dropped.append(".".join(place))
                values = _without(values, place)
    return CheckedConfig(None, tuple(faults), tuple(missing), tuple(dropped))


def _without(values: Mapping[str, Any], place: Sequence[str]) -> dict[str, Any]:
    """`values` less what is at `place`, or less the innermost mapping's key on the way there."""
    key, *inner = place
    below = values.get(key)
    if inner and isinstance(below, Mapping) and inner[0] in below:
        return {**values, key: _without(below, inner)}
    return {name: value for name, value in values.items() if name != key}


def _lay_over(base: dict[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`merge`, but another objective starts without the options of the one before: they do not apply to it."""
    given, own = layer.get("objective"), base.get("objective")
    if isinstance(given, Mapping) and isinstance(own, Mapping):
        before = own.get("name")
        if given.get("name", before) != before:
            base = {**base, "objective": {}}
    return merge(base, layer)


def parse_overrides(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain data of `a.b=value` words.

    Raises:
        ConfigError: a word has no `=`, or a value is no YAML.
    """
    if isinstance(overrides, Mapping):
        return nested(overrides)
    values, problems = _parse_words(overrides)
    if problems:
        raise ConfigError("; ".join(problems))
    return values


def _parse_words(words: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            problems.append(f"{word!r} is no key=value")
            continue
        try:
            values = merge(values, nested({key: load_yaml(text, source=word)}))
        except ConfigError as error:
            problems.append(str(error))
    return values, problems


def _objective_problems(section: Any) -> list[str]:
    """Problems that the objective reports about its options."""
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
