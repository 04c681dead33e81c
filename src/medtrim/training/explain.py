"""What is wrong with a recipe, in words, and which key was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from medtrim.training.config import TrainConfig
from medtrim.training.dotted import leaves


def allowed_keys(location: Iterable[int | str]) -> tuple[str, ...]:
    """The keys that the section at `location` of a recipe has; empty where there is no such section."""
    section: Any = TrainConfig
    for part in location:
        field = section.model_fields.get(part)
        section = _section_of(field.annotation) if field else None
        if section is None:
            return ()
    return tuple(section.model_fields)


def explain(detail: ErrorDetails) -> list[str]:
    """The fault that pydantic found, in words; an unknown section has one line a key in it."""
    *parents, key = detail["loc"] or ("",)
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        allowed = (*allowed_keys(parents), *(() if parents else ("recipe",)))
        inside = detail["input"]
        if isinstance(inside, Mapping) and inside and not _close(str(key), allowed, cutoff=0.75):
            return [_unknown(leaf, allowed) for leaf, _ in leaves(inside, f"{name}.")]
        return [_unknown(name, allowed)]
    if detail["type"] == "missing":
        return [f"{name} is missing"]
    message = detail["msg"].removeprefix("Value error, ")
    shown = detail["input"]
    return [f"{name}: {message}, not {shown!r}" if name and isinstance(shown, str | int | float) else message]


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`, is 'x' meant? (allowed: …)`, as far as there is something to say."""
    return _hint(_close(name, allowed), allowed)


def _unknown(name: str, allowed: Iterable[str]) -> str:
    """Of an unknown key: a like one beside it, or one of the same name in another section."""
    key = name.rpartition(".")[2]
    elsewhere = [path for path in _paths() if path.rpartition(".")[2] == key]
    beside = _close(key, allowed) if "." not in name or not elsewhere else []
    return f"unknown key {name!r}{_hint([*elsewhere, *beside][:2], allowed)}"


def _hint(close: list[str], allowed: Iterable[str]) -> str:
    names = ", ".join(allowed)
    guess = f", is {' or '.join(map(repr, close))} meant?" if close else ""
    return f"{guess} (allowed: {names})" if names else guess


def _close(name: str, allowed: Iterable[str], *, cutoff: float = 0.5) -> list[str]:
    return difflib.get_close_matches(name, list(allowed), n=1, cutoff=cutoff)


def _paths(section: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, as `--set` takes it."""
    for name, field in section.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _paths(inner, f"{prefix}{name}.")


def _section_of(annotation: Any) -> type[BaseModel] | None:
    kinds = [annotation, *get_args(annotation)]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
