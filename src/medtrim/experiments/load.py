"""Reading a suite: packaged or the user's YAML, a scale laid over it; all that is wrong is reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.experiments.schema import Suite
from medtrim.types.settings import merge, nearest, validated
from medtrim.types.yamlfile import load_yaml, read_yaml

SUITES: tuple[str, ...] = (
    "demo",
    "quick",
    "readme",
    "unseen",
    "tuning",
    "controls",
    "prior",
    "pretrained",
    "sensitivity",
    "steps",
    "errors",
    "full",
)
# Keys of a suite file that are consumed while it is read.
EXTENDS, SCALES = "extends", "scales"
# Keys of the section `data` that are paths.
PATHS = ("studies", "annotations", "image_root")


def load_suite(source: Path | str, *, scale: str = "", seeds: Iterable[int] = ()) -> Suite:
    """The suite in the YAML file `source`, or the packaged one of that name.

    A file may say `extends: readme` (a packaged suite, whose mappings it is merged over) and hold `scales`, a
    mapping of names to parts of a suite, one of which `scale` lays over the rest. A method that a later layer sets
    to null is left out.

    Args:
        source: path of a suite, or one of `SUITES`.
        scale: name of the scale to lay over it; empty for none.
        seeds: replace the suite's seeds.

    Raises:
        ConfigError: unreadable, or the message lists every unknown key with the nearest allowed one and every value
            out of range.
    """
    values, name = _read(source)
    values = extended(values, source=name)
    scales = values.pop(SCALES, None) or {}
    if scale:
        if scale not in scales:
            raise ConfigError(f"{name}: there is no scale {scale!r}{nearest(scale, scales)}")
        values = merge(values, scales[scale])
    given = list(seeds)
    if given:
        values["seeds"] = given
    return build_suite(values, source=name)


def build_suite(values: Mapping[str, Any], *, source: str = "suite") -> Suite:
    """A suite from plain data.

    Raises:
        ConfigError: as `load_suite`.
    """
    methods = values.get("methods")
    if isinstance(methods, Mapping):
        values = {**values, "methods": {key: method for key, method in methods.items() if method is not None}}
    return validated(Suite, values, source=source, also=(EXTENDS, SCALES))


def extended(values: dict[str, Any], *, source: str) -> dict[str, Any]:
    """`values` laid over the packaged suite that its `extends` names, if it names one."""
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    if base not in SUITES:
        raise ConfigError(f"{source}: there is no packaged suite {base!r}{nearest(str(base), SUITES)}")
    return merge(extended(packaged(str(base)), source=str(base)), values)


def _read(source: Path | str) -> tuple[dict[str, Any], str]:
    if str(source) in SUITES:
        return packaged(str(source)), f"suite {source}"
    path = Path(source)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"there is no suite {str(source)!r}{nearest(str(source), SUITES)}; or name a YAML file")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a suite is a mapping of keys to values")
    data = values.get("data")
    if isinstance(data, Mapping):
        values["data"] = _rooted(data, path.parent)
    return values, str(path)


def packaged(name: str) -> dict[str, Any]:
    """The packaged suite `name` as plain data, before what it extends is laid under it."""
    text = resources.files("medtrim.experiments").joinpath("suites", f"{name}.yaml").read_text("utf-8")
    values: dict[str, Any] = load_yaml(text, source=f"suite {name}")
    return values


def _rooted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`data` with the paths of a suite file made to start from its folder."""
    return {k: str(folder / v) if k in PATHS and isinstance(v, str) else v for k, v in data.items()}


def holds(values: Mapping[str, Any], key: str) -> bool:
    """Whether nested `values` have the dotted `key`, be its value null."""
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
