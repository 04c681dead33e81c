from __future__ import annotations

import numpy as np
import pytest

from medtrim.errors import TableError
from medtrim.evaluation import EvaluationResult
from medtrim.evaluation.figures import Figure, make_figure
from medtrim.experiments.figures import differences, figures_of


def result(method: str, shift: float, *, fingerprint: str = "same") -> EvaluationResult:
    replicates = np.linspace(0.4, 0.6, 101) + shift
    figures: tuple[Figure, ...] = (
        make_figure(
            "retrieval", "disease P@10", 0.5 + shift, replicates, n=40, direction="i2t", queries="abnormal"
        ),
        make_figure("zero-shot side", "AUROC", 0.5 + shift, replicates, n=40, label="macro"),
        make_figure("diagnostic", "modality gap", 0.3, replicates, n=40),
    )
    return EvaluationResult(method, figures, fingerprint)


def test_figures_speak_the_reports_language() -> None:
    retrieval, classification = figures_of(result("a", 0.0), method="a")
    assert (retrieval.task, retrieval.direction, retrieval.queries) == ("retrieval", "image→text", "abnormal")
    assert (classification.task, classification.metric, classification.target) == (
        "zero-shot side",
        "AUROC",
        "macro",
    )
    assert (classification.direction, classification.queries) == ("", "all")


def test_differences_are_paired() -> None:
    retrieval, _ = differences(result("a", 0.1), result("b", 0.0), method="a", baseline="b")
    assert retrieval.baseline == "b"
    # Every resample shifts both alike, so the difference has no spread at all.
    assert (retrieval.value, retrieval.low, retrieval.high) == pytest.approx((0.1, 0.1, 0.1))


def test_other_studies_are_no_pair() -> None:
    with pytest.raises(TableError, match="different studies"):
        differences(result("a", 0.1), result("b", 0.0, fingerprint="other"), method="a", baseline="b")
