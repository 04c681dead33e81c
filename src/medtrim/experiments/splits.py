"""What the splits of a corpus must hold before it is worth training on."""

from __future__ import annotations

from collections.abc import Sequence

from medtrim.errors import ConfigError
from medtrim.types import Study

PURPOSES = {"train": "to train on", "test": "to judge the methods by"}
"""A validation split may be empty: there are no validation curves then, and thresholds are not tuned."""


def check_splits(studies: Sequence[Study], *, having: str = "") -> None:
    """See that there is a study in every split that a run cannot do without.

    Args:
        having: what `studies` were chosen for, for the message.

    Raises:
        ConfigError: the training or the test split is empty; the message says what to do.
    """
    for split, purpose in PURPOSES.items():
        if not any(s.split == split for s in studies):
            whose = f" with a {having}" if having else ""
            counts = {name: sum(s.split == name for s in studies) for name in ("train", "val", "test")}
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ConfigError(
                f"no study{whose} in the {split} split, {purpose} ({shown}). Give studies of some patients the"
                f" split {split!r}; or, where the table gives no splits, a larger share (--split) or more patients"
            )
