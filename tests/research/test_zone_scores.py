from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from medtrim.errors import TableError
from medtrim.evaluation import embed_images
from medtrim.models import build_dual_encoder
from research.films import ZONES, read_films
from research.notes import (
    MATCHED,
    RETRIEVED,
    captioned,
    captions_of,
    centred,
    matching,
    read_noted_films,
    retrieval,
)
from research.prompts import prompted_zones, zone_prompts
from research.zone_benchmark import Benchmark, zone_brightness
from research.zone_scores import (
    Measured,
    agreement,
    by_fold,
    likeness,
    mirror_pairs,
    own_pairs,
    rank_correlation,
    ranking_auc,
    severity,
    severity_pairs,
    side,
    zone,
)
from research.zone_table import short_markdown, zone_facts, zone_markdown


@pytest.fixture
def collection(tmp_path):
    """Eight patients with two films each, bright where the senior reader scores, and two rows that are left out."""
    rng = np.random.default_rng(0)
    readers = [f"brixia_{who}_{z}" for who in ("senior", "junior") for z in "ABCDEF"]
    rows = [["image", "patientid", "view", *readers]]
    for film in range(16):
        scores = rng.integers(0, 4, 6)
        pixels = np.full((60, 60), 40.0)
        for index in range(6):
            top, left = 20 * (index % 3), 30 * (index // 3)
            pixels[top : top + 20, left : left + 30] += 40 * scores[index]
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{film}.png")
        junior = np.clip(scores + rng.integers(-1, 2, 6), 0, 3)
        rows.append([f"{film}.png", f"p{film // 2}", "PA", *scores, *junior])
    rows.append(["0.png", "p0", "L", *[1] * 12])
    rows.append(["0.png", "p0", "PA", *[""] * 12])
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def test_frontal_films_with_all_six_scores_are_read(collection, tmp_path_factory):
    films = read_films(collection)
    assert len(films) == 16
    assert len(set(films.patients)) == 8
    assert films.senior.shape == films.junior.shape == (16, 6)
    with pytest.raises(TableError, match="does not exist: a manifest"):
        read_films(tmp_path_factory.mktemp("empty"))


def test_retrieval_needs_a_note(collection):
    with pytest.raises(TableError, match="no frontal film has a note"):
        read_noted_films(collection)


def test_brightness_follows_scores_that_are_brightness(collection):
    films = read_films(collection)
    found = zone_brightness(films.pixels(60, fit="pad", equalize=False))
    assert zone(found, films.senior) > 0.99
    assert side(found, films.senior) > 0.99
    assert severity(found, films.senior) > 0.99
    assert ZONES[0] == ("right", "upper")


def test_measures_by_their_definitions():
    found, truth = np.array([1.0, 2.0, 2.0, 5.0]), np.array([0.0, 1.0, 3.0, 3.0])
    ranks = np.array([1.0, 2.5, 2.5, 4.0]), np.array([1.0, 2.0, 3.5, 3.5])
    assert rank_correlation(found, truth) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    pairs = [(a > b) + 0.5 * (a == b) for a in found[2:] for b in found[:2]]
    assert ranking_auc(found, np.array([False, False, True, True])) == pytest.approx(np.mean(pairs))
    assert math.isnan(rank_correlation(np.ones(3), truth[:3]))
    assert math.isnan(ranking_auc(found, np.ones(4, bool)))


def test_intervals_hold_the_value_and_widen_with_seeds_that_differ(collection):
    films = read_films(collection)
    rng = np.random.default_rng(1)
    noisy = [films.senior + rng.normal(0, scale, films.senior.shape) for scale in (0.3, 0.3, 4.0)]
    same = agreement([noisy[0]] * 3, films.senior, films.patients, resamples=60)["zone"]
    differ = agreement(noisy, films.senior, films.patients, resamples=60)["zone"]
    one, three = same.estimate(), differ.estimate()
    assert one.low <= one.value <= one.high
    assert one.value == pytest.approx(zone(noisy[0], films.senior))
    assert three.high - three.low > 1.5 * (one.high - one.low)
    alone = agreement(noisy[:1], films.senior, films.patients, resamples=60)["zone"]
    gap = differ.minus(alone)  # what is trained with seeds beside what is not
    assert gap.value == pytest.approx(three.value - one.value)
    assert same.minus(alone).high == pytest.approx(0, abs=1e-9)


def test_a_film_is_told_from_its_mirror_image_by_side_alone(collection):
    films = read_films(collection)

    def told(found, mirrored):
        return mirror_pairs([found], [mirrored], films.senior, films.patients, resamples=20).values[0]

    swapped = np.concatenate([films.senior[:, 3:], films.senior[:, :3]], axis=1)
    assert told(films.senior, swapped) == 1.0
    assert told(swapped, films.senior) == 0.0
    leaning = films.senior * 0 + np.array([5, 5, 5, 0, 0, 0])  # a constant leaning to the right tells nothing
    assert told(leaning, leaning) == 0.5


def test_the_worse_of_two_films_of_a_patient_is_told_by_their_sums():
    truth = np.array([[0, 0], [3, 0], [1, 0], [1, 0], [2, 2], [0, 0]], float)
    patients = ["a", "a", "b", "b", "c", "d"]  # b's films are alike, c and d have one

    def told(found):
        return severity_pairs([found], truth, patients, resamples=20).values[0]

    assert (told(truth), told(-truth), told(truth * 0)) == (1.0, 0.0, 0.5)
    assert math.isnan(told(truth * np.nan))


def test_likeness_is_the_rank_correlation_over_pairs_of_different_patients(collection):
    films = read_films(collection)
    rng = np.random.default_rng(0)
    embedded = rng.normal(size=(16, 5))
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(16) for j in range(i) if films.patients[i] != films.patients[j]]
    cosine = np.array([embedded[i] @ embedded[j] for i, j in pairs])
    near = np.array([-np.abs(films.senior[i] - films.senior[j]).sum() for i, j in pairs])
    found = likeness([embedded @ embedded.T], films.senior, films.patients, resamples=20)
    assert found.values[0] == pytest.approx(rank_correlation(cosine, near))
    assert np.isfinite(found.replicates).all()
    assert found.replicates.std() > 0


def test_own_pairs_are_counted_over_other_patients_of_the_same_group():
    rng = np.random.default_rng(0)
    like = rng.integers(0, 4, (10, 10)).astype(float)  # ties
    patients, groups = ["a", "a", "b", "c", "d", "e", "f", "g", "h", "h"], np.arange(10) % 2

    def told(compared):
        rows = [(i, j) for i in range(10) for j in range(10) if patients[i] != patients[j] and compared(i, j)]
        return np.mean([(like[i, j] < like[i, i]) + 0.5 * (like[i, j] == like[i, i]) for i, j in rows])

    found = own_pairs([like], patients, resamples=20)
    assert found.values[0] == pytest.approx(told(lambda i, j: True))
    assert found.replicates.std() > 0
    apart = own_pairs([like], patients, groups=groups, resamples=20)
    assert apart.values[0] == pytest.approx(told(lambda i, j: i % 2 == j % 2))


def test_a_probe_learns_from_other_patients_alone(collection):
    films = read_films(collection)
    assert zone(by_fold(films.senior, films.senior, films.patients, ridges=(0.1,)), films.senior) > 0.9
    own = np.eye(16)  # a film's identity tells of no other film
    assert abs(zone(by_fold(own, films.senior, films.patients), films.senior)) < 0.5


def test_prompts_give_six_values_and_none_where_ends_are_equal(collection, monkeypatch):
    films = read_films(collection)
    bundle = build_dual_encoder("tiny", texts=[p for z in ZONES for ps in zone_prompts(*z) for p in ps], seed=0)
    images = embed_images(bundle, films.pixels(64, fit="pad", equalize=False))
    found = prompted_zones(bundle, images)
    assert found.shape == (16, 6)
    assert np.abs(found).max() > 0
    monkeypatch.setattr("research.prompts.zone_prompts", lambda *_: (["clear"], ["clear"]))
    np.testing.assert_allclose(prompted_zones(bundle, images), 0, atol=1e-6)


def test_the_table_marks_differences_and_leaves_nan_out(collection):
    films = read_films(collection)

    def row(found):
        return agreement([found], films.senior, films.patients, resamples=30)

    rows = {
        "reader": row(films.junior),
        "brightness": row(np.random.default_rng(0).normal(size=(16, 6))),
        "medtrim": {**row(films.senior), "mirror": Measured(np.array([0.9]), np.linspace(0.8, 1.0, 30)[None])},
    }
    chosen = {"medtrim": {"rate": 0.02, "validation": 0.5}}
    found = Benchmark(rows, {"pixels": row(np.full((16, 6), np.nan))}, {}, {}, chosen, 16, 8)
    text = zone_markdown(found)
    assert "| MedTrim | 1.00 (1.00 to 1.00) |" in text
    assert "| – | 0.90 (0.8" in text
    assert "| Brightness of each zone, nothing learned | **+" in text
    assert "| Pixels, 32 × 32 | – | – | – |" in text
    assert "MedTrim 0.02 (0.50)" in text
    assert short_markdown(found).count("\n") == 5
    facts = zone_facts(found)
    assert facts["prompted"]["medtrim"]["zone"]["value"] == pytest.approx(1.0)
    assert facts["probed"]["pixels"]["zone"]["value"] is None
    json.dumps(facts)


def test_notes_find_films_and_films_notes_of_their_disease(tmp_path):
    notes = ["Left pleural effusion.", "Pneumothorax on the right.", "Heart is enlarged.", "No acute findings."]
    rows = [["image", "patientid", "view", "text"]]
    for number in range(12):
        rows.append([f"{number}.png", f"p{number}", "PA", f"{notes[number % 4]} Film {number}."])
    rows += [
        ["x.png", "p0", "L", "Left pleural effusion."],
        ["y.png", "p1", "PA", rows[2][3]],
        ["z.png", "p2", "PA", ""],
    ]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    films = read_noted_films(tmp_path)
    assert len(films) == 12  # no lateral film, no second film with the same note, none without
    kind = np.eye(4)[[number % 4 for number in range(12)]]
    found = retrieval([kind], [kind], films, resamples=20)
    assert set(found) == set(RETRIEVED)
    assert found["films of a note"].values[0] == pytest.approx(1.0)
    apart = retrieval([kind], [np.roll(kind, 1, axis=0)], films, resamples=20)
    assert apart["notes of a film"].values[0] < 0.9


def test_notes_as_captions_match_films_whose_zones_they_name(tmp_path):
    notes = ["Opacity in the left lower lobe.", "Right upper lobe consolidation.", "Clear lungs.", "Left effusion."]
    rows = [[f"{k}.png", f"p{k}", "PA", f"{notes[k % 4]} Film {k}."] for k in range(12)]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "patientid", "view", "text"], *rows])
    films = read_noted_films(tmp_path)
    assert films.zones[0].tolist() == [0, 0, 0, 0, 0, 1]  # A to C are the patient's right
    assert films.zones[1].tolist() == [1, 0, 0, 0, 0, 0]
    axes = np.repeat(
        np.eye(len(films.concepts)), [len(c.positive) + len(c.negative) for c in films.concepts], axis=0
    )
    denying = np.concatenate([[1.0] * len(c.positive) + [-1.0] * len(c.negative) for c in films.concepts])
    assert len(captions_of(films)) == len(axes)
    embedded = captioned(axes * denying[:, None], films)  # caption k is ± the k-th axis
    np.testing.assert_allclose(embedded, 2 * films.read)
    found = matching([centred(films.read)], [centred(embedded)], films, resamples=20)
    assert set(found) == set(MATCHED)
    assert found["own note of a film"].values[0] == pytest.approx((9 + 0.5 * 2) / 11)  # two others say the same
    assert found["zones alike"].values[0] > 0.5
    few = films.at([1, 4])
    assert (few.patients, few.ids) == (("p1", "p4"), ["0", "1"])
    assert few.zones.tolist() == films.zones[[1, 4]].tolist()
