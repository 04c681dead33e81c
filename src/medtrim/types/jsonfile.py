"""JSON files: written atomically, with null for numbers that are not finite, which JSON does not have."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtrim.types.tables import atomic_path


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity in it, however deep, replaced by None, and tuples by lists."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, atomically; numbers that are not finite become null.

    Raises:
        TypeError: a value is none of JSON's types.
    """
    text = json.dumps(finite(values), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing, half written or no object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def digest(facts: Any) -> str:
    """16 hex digits of the SHA-256 of `facts` as canonical JSON: equal settings have equal digests."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
