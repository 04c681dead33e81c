from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medtrim.errors import TableError
from medtrim.evaluation import embed_images
from medtrim.models import build_dual_encoder
from research.films import ZONES, read_films
from research.prompts import prompted_zones, zone_prompts
from research.zone_benchmark import Benchmark, zone_brightness
from research.zone_scores import (
    agreement,
    by_fold,
    mirror_pairs,
    rank_correlation,
    ranking_auc,
    severity,
    side,
    zone,
)
from research.zone_table import zone_facts, zone_markdown


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
    same = agreement([noisy[0]] * 3, films.senior, films.patients, resamples=60)
    differ = agreement(noisy, films.senior, films.patients, resamples=60)
    (low, high), (wide_low, wide_high) = same.interval(), differ.interval()
    assert (low <= same.value).all()
    assert (high >= same.value).all()
    assert wide_high[0] - wide_low[0] > 1.5 * (high[0] - low[0])
    gap, ends = same.minus(same)
    assert (gap == 0).all()
    assert (ends == 0).all()


def test_a_film_is_told_from_its_mirror_image_by_side_alone(collection):
    films = read_films(collection)
    swapped = np.concatenate([films.senior[:, 3:], films.senior[:, :3]], axis=1)
    assert mirror_pairs([films.senior], [swapped], films.senior, films.patients)[0] == 1.0
    assert mirror_pairs([swapped], [films.senior], films.senior, films.patients)[0] == 0.0
    leaning = films.senior * 0 + np.array([5, 5, 5, 0, 0, 0])  # a constant leaning to the right tells nothing
    assert mirror_pairs([leaning], [leaning], films.senior, films.patients) == (0.5, 0.5, 0.5)


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
        "medtrim": row(films.senior),
    }
    found = Benchmark(rows, {"pixels": row(np.full((16, 6), np.nan))}, {"medtrim": (0.9, 0.8, 1.0)}, {}, 16, 8)
    text = zone_markdown(found)
    assert "| MedTrim | 1.00 (1.00 to 1.00) |" in text
    assert "| Brightness of each zone, nothing learned | **+" in text
    assert "| Pixels, 32 × 32 | – | – | – |" in text
    assert "| MedTrim | 0.90 (0.80 to 1.00) |" in text
    facts = zone_facts(replace(found, prompted={"medtrim": rows["medtrim"]}))
    assert facts["prompted"]["medtrim"]["value"][0] == pytest.approx(1.0)
    assert facts["probed"]["pixels"]["value"] == [None, None, None]
