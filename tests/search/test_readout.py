"""Readings of pictures: the fit against a known truth, and a calibrated index from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medtrim.data import load_image
from medtrim.errors import TableError
from medtrim.search.index import calibrate_index
from medtrim.search.query import FindingQuery, Query
from medtrim.search.readout import Platt, fit, reliability
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex
from medtrim.types import Annotation, Study

Corpus = tuple[Path, list[Study], list[Annotation]]


def test_a_platt_function_is_found_again() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=20_000)
    truth = Platt(3.0, -1.0, 0, 0)
    drawn = rng.random(20_000) < [truth.probability(s) for s in scores]
    found = fit(scores, drawn)
    assert (found.slope, found.intercept) == (pytest.approx(3, abs=0.15), pytest.approx(-1, abs=0.1))
    assert (found.count, found.positive) == (20_000, drawn.sum())


def test_reliability_compares_by_tenths() -> None:
    found = reliability(np.array([0.02, 0.04, 0.95, 1.0]), np.array([0, 1, 1, 1]))
    assert found["reliability"] == [[0.03, 0.5, 2], [0.975, 1.0, 2]]
    assert found["error"] == pytest.approx((0.47 * 2 + 0.025 * 2) / 4)
    assert reliability(np.array([]), np.array([])) == {"reliability": [], "error": None}


def test_a_picture_is_read_where_it_was_calibrated(calibrated: Path, corpus: Corpus) -> None:
    searcher = Searcher.open(StudyIndex(calibrated))
    picture = load_image(corpus[0] / corpus[1][0].images[0])
    found = {r.disease: r for r in searcher.search(Query(image=picture)).readout}
    assert [r.disease for r in found.values()][:2] in (["edema", "pleural effusion"], ["pleural effusion", "edema"])
    assert found["pneumothorax"].probability is None
    probability = found["edema"].probability
    assert probability is not None
    assert 0 < probability < 1
    assert found["edema"].side == {}
    assert searcher.search(Query("effusion")).readout == ()
    assert searcher.readout is not None
    vector = searcher.encoder.images([picture])[0]
    assert searcher.readout.match(FindingQuery("edema"), vector) == pytest.approx(probability)
    assert searcher.readout.match(FindingQuery("edema", denied=True), vector) == pytest.approx(1 - probability)
    assert searcher.readout.match(FindingQuery("fracture"), vector) is None
    assert searcher.readout.match(FindingQuery("edema", severity=("mild",)), vector) is None


def test_a_study_that_is_not_read_is_ranked_by_what_its_picture_shows(calibrated: Path) -> None:
    searcher = Searcher.open(StudyIndex(calibrated))
    query = Query("pulmonary edema", mode="findings", k=7)
    hits = {h.study.study_id: h for h in searcher.search(query).hits}
    assert searcher.readout is not None
    expected = searcher.readout.match(FindingQuery("edema"), searcher.index.vector("silent", "image"))
    assert hits["silent"].match is None
    assert hits["silent"].score == pytest.approx(expected)


def test_an_index_without_calibration_reads_nothing(searcher: Searcher, corpus: Corpus) -> None:
    picture = load_image(corpus[0] / corpus[1][0].images[0])
    assert searcher.readout is None
    assert searcher.search(Query(image=picture)).readout == ()


def test_nothing_to_calibrate_on_is_said(calibrated: Path, corpus: Corpus) -> None:
    root, studies, annotations = corpus
    with pytest.raises(TableError, match="nothing to calibrate on"):
        calibrate_index(calibrated, [replace(studies[0], images=("nowhere.png",))], annotations, root=root)
