from __future__ import annotations

import pytest

from medtrim.experiments.degrade import degrade
from medtrim.experiments.schema import AnnotationErrors
from medtrim.types import Annotation, Finding

EFFUSION = Finding("pleural effusion", "present", ("small",), ("left",))
EDEMA = Finding("edema", "uncertain", ("mild",), ())
DENIED = Finding("pneumothorax", "absent")
MANY = [Annotation(f"s{i:04d}", (EFFUSION, EDEMA, DENIED)) for i in range(2000)]


def test_without_errors_nothing_changes() -> None:
    assert degrade(MANY[:9], AnnotationErrors()) == MANY[:9]


def test_rates_are_met_and_denials_are_kept() -> None:
    spoilt = degrade(MANY, AnnotationErrors(missed=0.25))
    kept = sum(f.assertion != "absent" for a in spoilt for f in a.findings)
    assert kept / (2 * len(MANY)) == pytest.approx(0.75, abs=0.02)
    assert all(a.findings[-1] == DENIED for a in spoilt)


def test_certain_errors_are_certain() -> None:
    spoilt = degrade(MANY[:5], AnnotationErrors(descriptors=1.0))
    assert all(not f.adjectives and not f.directions for a in spoilt for f in a.findings)
    swapped = degrade(MANY[:5], AnnotationErrors(sides=1.0))
    assert all(a.findings[0].directions == ("right",) for a in swapped)
    both = Annotation("b", (Finding("edema", "present", (), ("left", "right", "upper")),))
    assert degrade([both], AnnotationErrors(sides=1.0))[0].findings[0].directions == ("left", "right", "upper")


def test_invented_findings_come_from_other_studies() -> None:
    corpus = [Annotation("a", ()), Annotation("b", (EFFUSION,))]
    spoilt = degrade(corpus, AnnotationErrors(invented=1.0))
    assert spoilt[0].findings == (EFFUSION,)
    assert degrade([Annotation("a", ())], AnnotationErrors(invented=1.0)) == [Annotation("a", ())]


def test_the_same_seed_draws_the_same_and_higher_rates_lose_more() -> None:
    few, many = (degrade(MANY, AnnotationErrors(missed=rate)) for rate in (0.1, 0.4))
    assert few == degrade(MANY, AnnotationErrors(missed=0.1))
    assert few != degrade(MANY, AnnotationErrors(missed=0.1, seed=1))
    assert all(set(more.findings) <= set(less.findings) for less, more in zip(few, many, strict=True))
