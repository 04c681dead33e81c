from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from medtrim.data.phantom import sample_case, sample_patient
from medtrim.data.phantom.world import load_world
from medtrim.types import DISEASES, SIDES, ZONES

CASES = [sample_case(np.random.default_rng(i)) for i in range(3000)]
HAS = {disease: np.array([bool(c.of(disease)) for c in CASES]) for disease in DISEASES}


def test_a_quarter_is_normal() -> None:
    assert np.mean([not c.lesions for c in CASES]) == pytest.approx(0.25, abs=0.025)


def test_frequencies_are_skewed_as_in_life_and_nothing_is_missing() -> None:
    share = {disease: float(HAS[disease].mean()) for disease in DISEASES}
    assert min(share.values()) > 0.02
    assert share["pleural effusion"] == max(share.values()) < 0.35
    assert share["cardiomegaly"] > share["pneumothorax"] > share["pleural other"]


def test_failing_hearts_and_wet_lungs_go_together() -> None:
    assert HAS["cardiomegaly"][HAS["edema"]].mean() > 0.6 > 3 * HAS["cardiomegaly"].mean() * 0.5
    assert HAS["pleural effusion"][HAS["edema"]].mean() > 1.5 * HAS["pleural effusion"].mean()
    assert HAS["pneumothorax"][HAS["fracture"]].mean() > 2 * HAS["pneumothorax"].mean()


def test_sides_severities_and_hedges_are_balanced() -> None:
    findings = [f for c in CASES for f in c.truth]
    sides = Counter(
        d for f in findings if len(set(f.directions) & set(SIDES)) == 1 for d in f.directions if d in SIDES
    )
    assert sides["left"] / (sides["left"] + sides["right"]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([f.assertion == "uncertain" for f in findings]) == pytest.approx(0.09, abs=0.025)
    for scale in (("small", "moderate", "large"), ("mild", "moderate", "severe")):
        counts = [sum(word in f.adjectives for f in findings) for word in scale]
        assert counts[0] > counts[2] > 0.02 * len(findings)


def test_truth_is_canonical_and_every_drawn_word_can_be_said() -> None:
    adjectives = set(load_world("A").words["adjectives"])
    for case in CASES:
        order = [DISEASES.index(f.disease) for f in case.truth]
        assert all(a <= b for a, b in pairwise(order))
        for finding, lesion in zip(case.truth, case.lesions, strict=True):
            assert set(finding.directions) <= set(SIDES) | set(ZONES)
            assert set(finding.adjectives) <= adjectives
            assert list(finding.directions) == sorted(finding.directions)
            assert finding.mentions == ()
            place = " ".join((*lesion.sides, lesion.zone)).strip()
            assert not place or place in load_world("A").words["places"]


def test_the_marker_tells_nothing_about_disease() -> None:
    left = np.array([c.technique.marker == "L" for c in CASES if c.technique.marker])
    sick = np.array([bool(c.lesions) for c in CASES if c.technique.marker])
    assert left[sick].mean() == pytest.approx(left[~sick].mean(), abs=0.07)


def test_studies_of_a_patient_share_anatomy_but_not_exposure() -> None:
    patient = sample_patient(np.random.default_rng(1))
    first, second = (sample_case(np.random.default_rng(i), patient=patient) for i in (2, 3))
    assert first.patient == second.patient == patient
    assert first.technique != second.technique


def test_women_have_breasts_and_men_have_none() -> None:
    patients = [c.patient for c in CASES]
    assert all(p.breast == 0 for p in patients if p.sex == "M")
    assert np.mean([p.breast > 0.1 for p in patients if p.sex == "F"]) > 0.9
    assert all(0.36 < p.cardiothoracic_ratio < 0.49 for p in patients)
