"""YAML 1.2 in and out: `2e-5` is a number, `no` and `off` are words."""

from __future__ import annotations

import io
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from medtrim.errors import ConfigError


def load_yaml(text: str, *, source: str) -> Any:
    """Plain Python data of a YAML document.

    Raises:
        ConfigError: `text` is no YAML; the message names `source`, line and column.
    """
    try:
        return deepcopy(_parsed(text))
    except YAMLError as error:
        raise ConfigError(f"{source}: {error}") from error


@lru_cache(maxsize=128)  # a suite asks for its packaged recipes a hundred times
def _parsed(text: str) -> Any:
    # The pure-Python loader is the one that follows YAML 1.2.
    return YAML(typ="safe", pure=True).load(text)


def read_yaml(path: Path | str) -> Any:
    """`load_yaml` of a file."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return load_yaml(text, source=str(path))


def dump_yaml(data: Any) -> str:
    """`data` as a YAML document, keys in their order."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(data, stream)
    return stream.getvalue()
