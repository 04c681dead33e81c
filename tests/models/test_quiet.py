from __future__ import annotations

import pytest
from transformers.utils import logging

from medtrim.models import load_checkpoint, save_checkpoint
from medtrim.types import Provenance


@pytest.fixture
def bars():
    """Progress bars on, as in a fresh process, whatever an earlier test left."""
    logging.enable_progress_bar()


def test_nothing_is_printed(bars, tiny, tmp_path, capfd):
    load_checkpoint(save_checkpoint(tiny, tmp_path / "checkpoint", Provenance(kind="checkpoint")))
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
