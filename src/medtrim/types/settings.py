"""Nested settings of YAML files and `key=value` words: layers, dotted keys, and what is wrong with a key."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")


def nearest(name: object, allowed: Iterable[str], *, elsewhere: Collection[str] = (), beside: bool = True) -> str:
    """The end of a message about an unknown name: `, is 'steps' meant? (allowed: epochs, steps)`.

    Args:
        name: what was given.
        allowed: the names that are known in its place.
        elsewhere: likely names in other places, suggested before those in its place.
        beside: whether those in its place are suggested although there are some elsewhere.

    >>> nearest("stepz", ["epochs", "steps"])
    ", is 'steps' meant? (allowed: epochs, steps)"
    """
    names = list(allowed)
    close = [*elsewhere, *(close_names(str(name), names) if beside or not elsewhere else [])]
    return f"{did_you_mean(close)} (allowed: {', '.join(names) or 'none'})"


def did_you_mean(close: Sequence[str]) -> str:
    """`, is 'steps' meant?` of the first one or two likely names; empty where there is none."""
    return f", is {' or '.join(map(repr, close[:2]))} meant?" if close else ""


def close_names(name: str, allowed: Iterable[str], *, most: int = 1, cutoff: float = 0.5) -> list[str]:
    """Those of `allowed` that `name` is likely a misspelling of, the likeliest first."""
    return difflib.get_close_matches(name, list(allowed), n=most, cutoff=cutoff)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over`; where both hold a mapping, merged key by key. Neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def nested(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested mappings: `{"a.b": 1, "a.c": 2}` → `{"a": {"b": 1, "c": 2}}`; later pairs win."""
    whole: dict[str, Any] = {}
    for key, value in pairs.items():
        for name in reversed(key.strip().split(".")):
            value = {name: value}
        whole = merge(whole, value)
    return whole


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in `values` that is no section; an empty section counts as a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def validated(kind: type[T], values: Mapping[str, Any], *, source: str = "", also: Collection[str] = ()) -> T:
    """Settings of the pydantic model or dataclass `kind` from plain data.

    Args:
        source: where the values come from, for the message.
        also: keys at the top that are consumed before.

    Raises:
        ConfigError: the message lists every unknown key with the nearest allowed one and every value out of range.
    """
    from pydantic import BaseModel, ValidationError

    try:
        return kind.model_validate(values) if issubclass(kind, BaseModel) else kind(**values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = "; ".join(line for detail in details for line in explain(detail, kind, also=also))
        raise ConfigError(f"{source}: {problems}" if source else problems) from error


def explain(detail: ErrorDetails, model: Any, *, also: Collection[str] = ()) -> list[str]:
    """What is wrong, in words, of one fault that pydantic found in settings of `model`.

    An unknown section that holds keys gives a line for each of them.

    Args:
        model: a pydantic model, or a pydantic dataclass.
        also: keys at the top that are consumed before pydantic sees the settings.
    """
    *parents, key = detail["loc"] or ("",)
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = (*allowed_keys(parents, model), *(() if parents else also))
        inside = detail["input"]
        if isinstance(inside, Mapping) and inside and not close_names(str(key), allowed, cutoff=0.75):
            return [_unknown(leaf, allowed, model) for leaf, _ in leaves(inside, f"{name}.")]
        return [_unknown(name, allowed, model)]
    if detail["type"] == "missing":
        return [f"{name} is missing"]
    message = detail["msg"].removeprefix("Value error, ")
    shown = detail["input"]
    if not name:
        return [message]
    return [f"{name}: {message}, not {shown!r}" if isinstance(shown, str | int | float) else f"{name}: {message}"]


def allowed_keys(location: Iterable[int | str], model: Any) -> tuple[str, ...]:
    """The keys that the section at `location` of `model` has; empty where there is no such section.

    A key of a mapping of sections, or a position in a list of them, leads to the section that it holds.
    """
    section: Any = model
    inside_container = False
    for part in location:
        field = section.__pydantic_fields__.get(str(part))
        if field is None and inside_container:
            inside_container = False
            continue
        section = _section_of(field.annotation) if field is not None else None
        if section is None:
            return ()
        inside_container = field is not None and _is_container(field.annotation)
    return tuple(section.__pydantic_fields__)


def _unknown(name: str, allowed: Collection[str], model: Any) -> str:
    """Of an unknown key: a similar one beside it, or one of the same name in another section."""
    key = name.rpartition(".")[2]
    elsewhere = [path for path in _paths(model) if path.rpartition(".")[2] == key]
    return f"unknown key {name!r}{nearest(key, allowed, elsewhere=elsewhere, beside='.' not in name)}"


def _paths(section: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the settings, those inside mappings and lists of sections left out."""
    for name, field in section.__pydantic_fields__.items():
        inner = None if _is_container(field.annotation) else _section_of(field.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _paths(inner, f"{prefix}{name}.")


def _section_of(annotation: Any) -> Any:
    """The first settings model inside an annotation such as `dict[str, Method]` or `Curve | None`."""
    if hasattr(annotation, "__pydantic_fields__"):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_of(part)) is not None), None)


def _is_container(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(get_origin(kind) in (dict, list, tuple) for kind in kinds)
