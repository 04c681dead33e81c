"""What every miner refuses: thresholds out of order, corpora that cannot hold a triplet."""

from __future__ import annotations

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.encoding import EncodedStudies


def check_thresholds(semi_hard: float, ceiling: float) -> None:
    """Raise a `ConfigError` unless 0 ≤ semi_hard < ceiling."""
    if not 0 <= semi_hard < ceiling:
        raise ConfigError(f"thresholds semi_hard {semi_hard}, ceiling {ceiling}; needed: 0 ≤ semi_hard < ceiling")


def check_corpus(encoded: EncodedStudies, *, least: int) -> None:
    """Raise a `MiningError` for a corpus too small for a triplet, or one in which all studies are alike."""
    if len(encoded) < least:
        raise MiningError(
            f"the corpus holds {len(encoded)} study(ies); a triplet needs {least}: anchor, positive and negative"
        )
    if encoded.distinct == 1:
        what = "normal (no counted disease)" if encoded.is_normal.all() else "annotated alike"
        raise MiningError(f"all {len(encoded)} studies are {what}: nothing tells a positive from a negative")
