from __future__ import annotations

import numpy as np
import pytest

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.diagnostics import diagnose, effective_rank, modality_gap


def test_effective_rank_counts_directions_that_are_used_alike():
    axes = np.concatenate([np.eye(6), -np.eye(6)])
    assert effective_rank(axes) == pytest.approx(6.0)
    assert effective_rank(np.ones((9, 4))) == 0.0
    line = np.outer(np.array([1.0, -1.0, 1.0, -1.0]), np.ones(5))
    assert effective_rank(line) == pytest.approx(1.0)


def test_gap_is_the_distance_of_the_centroids():
    image, text = np.tile([[2.0, 0.0]], (5, 1)), np.tile([[0.0, 3.0]], (5, 1))
    assert modality_gap(image, text) == pytest.approx(np.sqrt(2))
    figures = diagnose(image, text, PatientBootstrap([str(i) for i in range(5)], resamples=7))
    gap = figures[0]
    assert (gap.low, gap.high) == (pytest.approx(gap.value), pytest.approx(gap.value))
    assert [f.label for f in figures] == ["", "image", "text"]
