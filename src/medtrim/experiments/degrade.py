"""Annotations with errors put in on purpose, to measure how a method depends on the recogniser's accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medtrim.experiments.schema import AnnotationErrors
from medtrim.types import Annotation, Finding

_OTHER_SIDE = {"left": "right", "right": "left"}


def degrade(annotations: Sequence[Annotation], errors: AnnotationErrors) -> list[Annotation]:
    """`annotations` with mistakes drawn independently, in the order given.

    Each study has a random stream of its own place in the order, so that a higher rate of one kind of mistake
    leaves the draws of the others as they were. Mentions of changed findings are kept: they say where it was read.
    """
    pool = [f for a in annotations for f in a.findings if f.assertion != "absent"]
    degraded = []
    for row, annotation in enumerate(annotations):
        rng = np.random.default_rng([errors.seed, row])
        drawn = [(_lost(f, errors, rng), _garbled(f, errors, rng)) for f in annotation.findings]
        kept = [finding for lost, finding in drawn if not lost]
        gained, which = rng.random() < errors.invented, rng.integers(max(1, len(pool)))
        if gained and pool:
            kept.append(replace(pool[which], mentions=()))
        degraded.append(Annotation(annotation.study_id, tuple(kept)))
    return degraded


def _lost(finding: Finding, errors: AnnotationErrors, rng: np.random.Generator) -> bool:
    """Only what counts can be missed; losing a denial would change nothing."""
    return bool(rng.random() < errors.missed) and finding.assertion != "absent"


def _garbled(finding: Finding, errors: AnnotationErrors, rng: np.random.Generator) -> Finding:
    words = len(finding.adjectives) + len(finding.directions)
    keep = rng.random(words) >= errors.descriptors
    adjectives = tuple(w for w, k in zip(finding.adjectives, keep, strict=False) if k)
    directions = tuple(w for w, k in zip(finding.directions, keep[len(finding.adjectives) :], strict=True) if k)
    if rng.random() < errors.sides:
        directions = tuple(sorted(_OTHER_SIDE.get(w, w) for w in directions))
    return replace(finding, adjectives=adjectives, directions=directions)
