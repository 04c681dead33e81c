"""What a gallery study adds to a figure, against ranking everything again without it."""

from __future__ import annotations

import numpy as np
import pytest

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.gallery import GalleryEffect
from medtrim.evaluation.reference import make_reference
from medtrim.evaluation.retrieval import QueryTable, retrieval_figures
from tests.evaluation.test_retrieval import corpus, vectors


def tables(annotations, image, text, same_report=None) -> dict[tuple[str, str], QueryTable]:
    order = sorted(range(len(annotations)), key=lambda i: annotations[i].study_id)
    bootstrap = PatientBootstrap([str(i) for i in order], resamples=1)
    listed = [annotations[i] for i in order]
    codes = None if same_report is None else same_report[order]
    found = retrieval_figures(image[order], text[order], make_reference(listed), bootstrap, same_report=codes)
    out: dict[tuple[str, str], list] = {}
    for table in found.queries:
        for values in table.values:
            out[table.direction, table.group, values.metric] = (table.queries, values)
    return out


def sums(table, keep: int) -> tuple[float, float]:
    """Numerator and denominator over the queries but one."""
    rows, values = table
    chosen = (rows != keep) & np.isfinite(values.denominator)
    return float(values.numerator[chosen].sum()), float(values.denominator[chosen].sum())


@pytest.mark.parametrize(("n", "seed", "ties"), [(12, 0, True), (9, 3, False), (2, 2, False)])
def test_effects_equal_ranking_again_without_the_study(n, seed, ties):
    annotations = sorted(corpus(n, seed), key=lambda a: a.study_id)
    rng = np.random.default_rng(seed)
    image, text = vectors(n, seed) if ties else (rng.normal(size=(n, 3)).astype(np.float32) for _ in range(2))
    whole = tables(annotations, image, text)
    checked = 0
    for left_out in range(n if n > 2 else 0):
        others = [i for i in range(n) if i != left_out]
        fewer = tables([annotations[i] for i in others], image[others], text[others])
        for key, table in whole.items():
            before, after = sums(table, left_out), sums(fewer[key], -1)
            effect = table[1].gallery
            assert effect.numerator[left_out] == pytest.approx(before[0] - after[0], abs=1e-9), (key, left_out)
            assert effect.denominator[left_out] == pytest.approx(before[1] - after[1], abs=1e-9), (key, left_out)
            checked += 1
    assert n == 2 or checked > 20 * n


def test_a_resample_adds_what_its_gallery_studies_add():
    bootstrap = PatientBootstrap(["a", "b", "b", "c"], resamples=50, seed=3)
    rng = np.random.default_rng(0)
    top, bottom = rng.random(4), np.full(4, 2.0)
    effect = GalleryEffect(rng.normal(size=4) / 10, rng.normal(size=4) / 10)
    found = bootstrap.ratio(top, bottom, np.arange(4), gallery=effect)
    for b, weights in enumerate(bootstrap.weights):
        above = below = 0.0
        for study in range(4):
            w = weights[bootstrap.patient_of[study]]
            above += w * top[study] + (w - 1) * effect.numerator[study]
            below += w * bottom[study] + (w - 1) * effect.denominator[study]
        assert found[b] == pytest.approx(min(max(above, 0), max(below, 0)) / below)


def test_the_gallery_widens_intervals():
    annotations = corpus(60, 0)
    rng = np.random.default_rng(0)
    image = rng.normal(size=(60, 8)).astype(np.float32)
    bootstrap = PatientBootstrap([str(i) for i in range(60)], resamples=400)
    result = retrieval_figures(image, image + 1, make_reference(annotations), bootstrap, directions=["i2t"])
    table = next(t for t in result.queries if t.group == "all" and t.values[0].metric == "disease P@1")
    values = next(v for v in table.values if v.metric == "disease mAP")
    top, bottom = values.numerator, values.denominator
    defined = np.isfinite(bottom)
    args = top[defined], bottom[defined], table.queries[defined]
    assert np.std(bootstrap.ratio(*args, gallery=values.gallery)) > 1.1 * np.std(bootstrap.ratio(*args))


def merged_ranks(image: np.ndarray, text: np.ndarray, report: list[int]) -> dict[str, list[int]]:
    """Ranks with each text once in the gallery, by counting."""

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.linalg.norm(v)

    ranks: dict[str, list[int]] = {"i2t": [], "t2i": []}
    for q in range(len(report)):
        by_text = {c: round(float(unit(image[q]) @ unit(text[report.index(c)])), 7) for c in set(report)}
        ranks["i2t"].append(1 + sum(s > by_text[report[q]] for s in by_text.values()))
        scores = [round(float(unit(text[q]) @ unit(v)), 7) for v in image]
        best = max(s for s, c in zip(scores, report, strict=True) if c == report[q])
        ranks["t2i"].append(1 + sum(s > best for s in scores))
    return ranks


def test_identical_reports_are_merged_in_instance_retrieval():
    annotations = sorted(corpus(24, 4), key=lambda a: a.study_id)
    rng = np.random.default_rng(1)
    report = [int(c) for c in rng.integers(0, 6, size=24)]
    image = rng.normal(size=(24, 4)).astype(np.float32)
    text = rng.normal(size=(6, 4)).astype(np.float32)[report]
    found = tables(annotations, image, text, np.array(report))
    for direction, ranks in merged_ranks(image, text, report).items():
        for group in ("normal", "abnormal", "all"):
            rows, values = found[direction, group, "R@1"]
            assert values.numerator.tolist() == [float(ranks[r] <= 1) for r in rows]
            rows, values = found[direction, group, "R@5"]
            assert values.numerator.tolist() == [float(ranks[r] <= 5) for r in rows]
