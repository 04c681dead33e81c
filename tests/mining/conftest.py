"""Annotations for the miners' tests: drawn ones, and the reference vectors worked out with the authors' code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtrim.types import DISEASES, Annotation, Finding

ADJECTIVES = ("small", "mild", "moderate", "severe", "large", "patchy", "streaky")
DIRECTIONS = ("left", "right", "upper", "lower", "basal")


def draw_annotations(count: int, *, seed: int = 0, prefix: str = "s") -> list[Annotation]:
    """`count` random studies, a quarter normal, most with one or two diseases; many of them alike."""
    rng = np.random.default_rng(seed)

    def words(vocabulary: tuple[str, ...]) -> tuple[str, ...]:
        size = rng.choice([0, 0, 1, 1, 2])
        return tuple(sorted(rng.choice(vocabulary, size=size, replace=False).tolist()))

    def finding() -> Finding:
        disease = DISEASES[min(int(rng.exponential(2.5)), len(DISEASES) - 1)]
        assertion = rng.choice(["present", "present", "uncertain", "absent"])
        return Finding(disease, str(assertion), words(ADJECTIVES), words(DIRECTIONS))  # type: ignore[arg-type]

    sizes = rng.choice([0, 1, 1, 2, 2, 3, 4], size=count)
    return [Annotation(f"{prefix}{i}", tuple(finding() for _ in range(size))) for i, size in enumerate(sizes)]


@pytest.fixture(scope="session")
def drawn() -> Callable[..., list[Annotation]]:
    return draw_annotations


@pytest.fixture(scope="session")
def reference(shared: Path) -> dict[str, Any]:
    """The reference vectors, their annotations as records."""
    data: dict[str, Any] = json.loads((shared / "parity" / "score_and_pools.json").read_text())
    data["annotations"] = [
        Annotation(
            row["study_id"],
            tuple(
                Finding(disease, "present", tuple(f["adjectives"]), tuple(f["directions"]))
                for disease, f in row["findings"].items()
            ),
        )
        for row in data["annotations"]
    ]
    return data
