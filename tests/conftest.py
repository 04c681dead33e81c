"""Shared fixtures: where the reference data lies, or a skip that says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Consoles take their width when they are made, that is when the first test imports the command line.
os.environ["COLUMNS"] = "300"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data: $MEDTRIM_SHARED, or ../shared beside the checkout; skips without either."""
    named = os.environ.get("MEDTRIM_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no reference data: set MEDTRIM_SHARED to its folder")
    return folder
