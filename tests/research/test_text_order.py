from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from research import text_order as room
from research.results import write_findings
from research.text_corpus import covered_terms, read_coded_reports, terms_of
from research.text_methods import TEXT_METHODS, TextTraining, rate_at, train_text_encoder
from research.text_order import TextOrderSettings, text_order

FINDINGS = ("pleural effusion", "cardiomegaly", "pneumothorax", "pulmonary edema")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """90 invented reports with codes, some normal, one repeated, one without codes."""
    path = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    rows = []
    for i in range(90):
        disease, side = FINDINGS[i % 4], ("left", "right")[i // 4 % 2]
        normal = i % 5 == 0
        text = f"Clear lungs, film {i}." if normal else f"There is a {side} {disease}, film {i}."
        codes = ["normal"] if normal else [f"{disease.title()}/{side}", "Spine/degenerative"]
        rows.append({"study_id": f"r{i}", "findings": text, "mesh": codes})
    rows += [{**rows[1], "study_id": "again"}, {**rows[2], "study_id": "bare", "findings": "Odd.", "mesh": []}]
    rows += [
        {"study_id": "unread", "findings": "Blurred film.", "mesh": ["Technical Quality of Image Unsatisfactory"]}
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="module")
def corpus(table):
    return read_coded_reports(table)


def test_terms_of_codes():
    assert terms_of(["Opacity/lung/base", "opacity/Left"]) == (
        "opacity",
        "opacity/base",
        "opacity/left",
        "opacity/lung",
    )
    assert terms_of(["", "/x"]) == ()


def test_covered_terms_keep_known_headings_and_conditional_ones():
    terms = terms_of(["Cardiomegaly/mild", "Spine/degenerative", "Cardiac Shadow/enlarged", "Thickening/skin"])
    assert covered_terms(terms) == (
        "cardiac shadow",
        "cardiac shadow/enlarged",
        "cardiomegaly",
        "cardiomegaly/mild",
    )


def test_reports_that_cannot_be_judged_are_left_out_and_counted(corpus):
    assert len(corpus.studies) == 90
    assert corpus.counts["repeated text"] == 1
    assert corpus.counts["without codes"] == 2
    assert corpus.counts["train"] + corpus.counts["val"] + corpus.counts["test"] == 90


def test_overlap_is_the_jaccard_index(corpus):
    rows = corpus.rows("test")
    for covered in (False, True):
        terms = [set(covered_terms(corpus.codes[i]) if covered else corpus.codes[i]) for i in rows]
        slow = [[len(a & b) / len(a | b) if a | b else 0.0 for b in terms] for a in terms]
        np.testing.assert_allclose(corpus.overlap(rows, covered=covered), slow)


def test_reports_without_codes_are_an_error(table):
    with pytest.raises(TableError, match="'labels'"):
        read_coded_reports(table, codes="labels")


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="no text method 'simclr'"):
        TextOrderSettings(methods=("simclr",))
    with pytest.raises(ConfigError, match="at least one"):
        TextOrderSettings(steps=0)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [rate_at(step, 40) for step in range(40)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert all(a >= b for a, b in pairwise(rates[9:]))
    assert rates[-1] < 0.01


@pytest.mark.parametrize("name", list(TEXT_METHODS))
def test_training_changes_the_encoder_and_repeats_to_the_last_bit(corpus, name):
    rows = corpus.rows("train")[:24]
    studies, annotations = [corpus.studies[i] for i in rows], [corpus.annotations[i] for i in rows]
    texts = [s.report for s in studies[:6]]
    settings = TextTraining(steps=4, batch=8, learning_rate=1e-3, seed=0, looks=(2, 4))
    first = train_text_encoder(TEXT_METHODS[name], studies, annotations, texts, settings)
    second = train_text_encoder(TEXT_METHODS[name], studies, annotations, texts, settings)
    assert sorted(first) == [2, 4]
    np.testing.assert_array_equal(first[4], second[4])
    assert np.abs(first[4] - first[2]).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(first[4], axis=1), 1.0, rtol=1e-5)


def test_a_second_start_trains_nothing_and_finds_the_same(corpus, tmp_path, monkeypatch):
    settings = TextOrderSettings(
        methods=("simcse",), steps=2, batch=8, rates=(1e-3,), seeds=(0, 1), looks=2, resamples=50
    )
    findings = text_order(corpus, settings, tmp_path)
    table = write_findings(findings, tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    monkeypatch.setattr(room, "train_text_encoder", lambda *a, **k: pytest.fail("trained again"))
    write_findings(text_order(corpus, settings, tmp_path), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert set(findings.methods) == {"score", "tf-idf", "untrained", "simcse"}
    assert "film" not in before.decode() + table.read_text()
    score = findings.methods["score"].result.figure("concordance", task="text order", queries="covered")
    # Codes of these reports follow from what the recogniser reads: the score orders them almost perfectly.
    assert score.value > 0.95


def test_the_choice_is_made_on_validation_alone(corpus, tmp_path):
    settings = TextOrderSettings(
        methods=("simcse",), steps=2, batch=8, rates=(1e-3, 3e-3), seeds=(0,), resamples=20
    )
    findings = text_order(corpus, settings, tmp_path)
    chosen = findings.facts["chosen"]["simcse"][0]
    judge = room.TextJudge(corpus, resamples=20, seed=0)
    split = len(corpus.rows("val"))
    merits = {}
    for rate in settings.rates:
        place = room._run_folder(corpus, settings, tmp_path, "simcse", 0, rate)
        for step in settings.moments:
            vectors = room._vectors(place / f"{step}.parquet")[:split]
            merits[rate, step] = judge.merit(room.cosine_matrix(vectors))
    assert chosen["merit"] == max(merits.values())
