"""Every retrieval metric against a plain loop over dictionaries and lists."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation import ranking
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.reference import make_reference
from medtrim.evaluation.retrieval import retrieval_figures, top_studies
from medtrim.mining.similarity import ScoreConfig, explain_score
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Contradictions, Finding

DISEASES = ("pleural effusion", "edema", "fracture")


def corpus(n: int, seed: int) -> list[Annotation]:
    rng = np.random.default_rng(seed)
    studies = []
    for i in rng.permutation(n):
        findings = []
        for disease in DISEASES:
            if rng.random() < 0.4:
                sides = tuple(s for s in ("left", "right") if rng.random() < 0.5)
                size = tuple(rng.choice(["small", "large", "acute"], size=rng.integers(0, 2), replace=False))
                assertion = "absent" if rng.random() < 0.2 else "present"
                findings.append(Finding(disease, assertion, tuple(map(str, size)), sides))
        studies.append(Annotation(f"s{i:03d}", tuple(findings)))
    return studies


def vectors(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coarse vectors with many exact ties."""
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(-1, 2, (n, 3)).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


def shape(annotation: Annotation) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    out: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for f in annotation.findings:
        if f.assertion != "absent":
            a, d = out.get(f.disease, (frozenset(), frozenset()))
            out[f.disease] = a | set(f.adjectives), d | set(f.directions)
    return out


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return round(sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / norm, 7) + 0.0 if norm else 0.0


def loop(annotations: list[Annotation], source: np.ndarray, gallery: np.ndarray) -> dict[tuple[str, str], float]:
    """metric, group → value, written for reading."""
    studies = sorted(annotations, key=lambda a: a.study_id)
    truth = [shape(a) for a in studies]
    config = ScoreConfig(mode="symmetric")
    sums: dict[tuple[str, str], list[tuple[float, float]]] = {}
    ranks: dict[str, list[int]] = {"abnormal": [], "normal": [], "all": []}

    def add(metric: str, group: str, top: float, bottom: float = 1.0) -> None:
        sums.setdefault((metric, group), []).append((top, bottom))

    for q, query in enumerate(truth):
        group = "abnormal" if query else "normal"
        order = sorted(range(len(studies)), key=lambda g: (-cosine(source[q], gallery[g]), studies[g].study_id))
        rank = order.index(q) + 1
        for name in (group, "all"):
            ranks[name].append(rank)
            for k in (1, 5, 10):
                add(f"R@{k}", name, float(rank <= k))
        order.remove(q)
        for name, relevant in (
            ("disease", [set(truth[g]) == set(query) for g in order]),
            ("fine", [truth[g] == query for g in order]),
        ):
            total = sum(relevant)
            for whom in (group, "all"):
                add(f"plain {name} P@10", whom, sum(relevant[:10]) / 10)
            if total == 0:
                continue
            ap = sum(sum(relevant[: i + 1]) / (i + 1) for i, r in enumerate(relevant) if r) / total
            for whom in (group, "all"):
                for k in (1, 5, 10):
                    add(f"{name} P@{k}", whom, sum(relevant[:k]) / min(k, total))
                add(f"{name} mAP", whom, ap)
        gains = [explain_score(studies[q], studies[g], config).score for g in order]
        ideal = sorted(gains, reverse=True)[:10]
        dcg = sum(gain / math.log2(i + 2) for i, gain in enumerate(gains[:10]))
        best = sum(gain / math.log2(i + 2) for i, gain in enumerate(ideal))
        if best > 0:
            add("nDCG@10", group, dcg / best)
            add("nDCG@10", "all", dcg / best)
        matches = sum(truth[g] == query for g in order)
        if matches:
            wrong = {"side": 0, "severity": 0, "zone": 0}
            sharing = free = 0
            top = order[: min(10, matches)]
            for g in top:
                shared = [d for d in query if d in truth[g]]
                if not shared:
                    free += not query and not truth[g]
                    continue
                sharing += 1
                bad = {
                    axis: any(
                        DEFAULT_CONTRADICTIONS.conflict(
                            axis, query[d][0] | query[d][1], truth[g][d][0] | truth[g][d][1]
                        )
                        for d in shared
                    )
                    for axis in wrong
                }
                for axis in wrong:
                    wrong[axis] += bad[axis]
                free += not bad["side"] and not bad["severity"]
            for whom in (group, "all"):
                for axis, count in wrong.items():
                    add(f"wrong {axis} @R", whom, count, sharing)
                add("conflict-free @R", whom, free / len(top))
        pairs = [(cosine(source[q], gallery[g]), set(truth[g]) == set(query), truth[g] == query) for g in order]
        for name, scored in (
            ("disease AUC", [(s, same) for s, same, _ in pairs]),
            ("attribute AUC", [(s, fine) for s, same, fine in pairs if same]),
        ):
            if len({positive for _, positive in scored}) == 2:
                add(name, group, plain_auc(scored))
                add(name, "all", plain_auc(scored))
    out = {key: sum(t for t, _ in v) / sum(b for _, b in v) for key, v in sums.items() if sum(b for _, b in v)}
    for name, values in ranks.items():
        if values:
            out["median rank", name] = sorted(values)[(len(values) - 1) // 2]
    return out


def plain_auc(scored: list[tuple[float, bool]]) -> float:
    positives, negatives = [s for s, p in scored if p], [s for s, p in scored if not p]
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_metric_equals_the_plain_loop(seed, monkeypatch):
    annotations = corpus(45, seed)
    image, text = vectors(45, seed)
    bootstrap = PatientBootstrap([f"p{i // 2}" for i in range(45)], resamples=20)
    results = {}
    for block in (7, 1024):
        monkeypatch.setattr(ranking, "BLOCK", block)
        results[block] = retrieval_figures(image, text, make_reference(annotations), bootstrap)
    side = {"i": image, "t": text}
    checked = 0
    for direction in ("i2t", "t2i", "i2i", "t2t"):
        expected = loop(annotations, side[direction[0]], side[direction[2]])
        if direction in ("i2i", "t2t"):
            expected = {k: v for k, v in expected.items() if not k[0].startswith(("R@", "median"))}
        for block, result in results.items():
            found = {(f.metric, f.queries): f for f in result.figures if f.direction == direction}
            assert set(expected) <= set(found)
            assert all(np.isnan(f.value) for key, f in found.items() if key not in expected)
            for key, value in expected.items():
                assert found[key].value == pytest.approx(value, abs=1e-9), (direction, key, block)
                checked += 1
    assert checked > 160


def test_a_perfect_ranking_is_perfect():
    """Embeddings that repeat the score's structure reach the best value of every metric."""
    annotations = [
        Annotation(f"s{i}", (Finding("pleural effusion", "present", (), (side,)),))
        for i, side in enumerate(["left", "right"] * 4)
    ]
    image = np.array([[1.0, 0.1], [1.0, -0.1]] * 4, np.float32)
    reference = make_reference(annotations)
    bootstrap = PatientBootstrap([f"p{i}" for i in range(8)], resamples=10)
    figures = retrieval_figures(image, image, reference, bootstrap, directions=["i2t"]).figures
    value = {f.metric: f.value for f in figures if f.queries == "abnormal"}
    assert value["fine P@1"] == value["fine mAP"] == value["nDCG@10"] == value["attribute AUC"] == 1.0
    assert value["wrong side @R"] == 0.0
    assert value["conflict-free @R"] == 1.0
    flipped = retrieval_figures(image, image[[1, 0] * 4], reference, bootstrap, directions=["i2t"]).figures
    value = {f.metric: f.value for f in flipped if f.queries == "abnormal"}
    assert value["wrong side @R"] == 1.0
    assert value["conflict-free @R"] == 0.0
    assert value["attribute AUC"] == 0.0


def test_an_ontology_without_contradictions_finds_no_study_wrong():
    annotations = [
        Annotation(f"s{i}", (Finding("fracture", "present", (), (("left", "right")[i % 2],)),)) for i in range(8)
    ]
    image = np.array([[1.0, 0.1], [1.0, -0.1]] * 4, np.float32)
    bootstrap = PatientBootstrap([f"p{i}" for i in range(8)], resamples=5)
    for contradictions, wrong in ((DEFAULT_CONTRADICTIONS, 1.0), (Contradictions({}), 0.0)):
        reference = make_reference(annotations, contradictions=contradictions)
        figures = retrieval_figures(image, image[[1, 0] * 4], reference, bootstrap, directions=["i2t"]).figures
        value = {f.metric: f.value for f in figures if f.queries == "abnormal"}
        assert (value["wrong side @R"], value["conflict-free @R"]) == (wrong, 1 - wrong)


def test_own_study_is_in_the_gallery_for_instance_retrieval_alone():
    annotations = corpus(20, 5)
    image, text = vectors(20, 5)
    bootstrap = PatientBootstrap([f"p{i}" for i in range(20)], resamples=5)
    figures = retrieval_figures(image, text, make_reference(annotations), bootstrap).figures
    for figure in figures:
        assert figure.own_in_gallery == (figure.metric.startswith("R@") or figure.metric == "median rank")
    top = top_studies(image, text, np.array([3, 8]), direction="i2i", k=4)
    assert 3 not in top[0]
    assert 8 not in top[1]


def test_embeddings_that_are_not_finite_are_refused():
    image, text = vectors(6, 0)
    text[2, 0] = np.nan
    bootstrap = PatientBootstrap(["p"] * 6, resamples=5)
    with pytest.raises(TableError, match="text embeddings"):
        retrieval_figures(image, text, make_reference(corpus(6, 0)), bootstrap)


def test_collapsed_embeddings_rank_by_study_id():
    annotations = corpus(12, 1)
    same = np.ones((12, 4), np.float32)
    bootstrap = PatientBootstrap(["p"] * 12, resamples=5)
    figures = retrieval_figures(same, same, make_reference(annotations), bootstrap, directions=["i2t"]).figures
    ranks = {f.metric: f.value for f in figures if f.queries == "all"}
    assert ranks["R@1"] == pytest.approx(1 / 12)
    assert ranks["median rank"] == 6
    assert next(f.value for f in figures if f.metric == "disease AUC") == 0.5


def test_refusals():
    annotations = corpus(6, 0)
    image, text = vectors(6, 0)
    bootstrap = PatientBootstrap(["p"] * 6, resamples=5)
    with pytest.raises(TableError, match="embeddings of 5 images"):
        retrieval_figures(image[:5], text[:5], make_reference(annotations), bootstrap)
    with pytest.raises(ConfigError, match="direction"):
        retrieval_figures(image, text, make_reference(annotations), bootstrap, directions=["up"])
    with pytest.raises(TableError, match="at least two"):
        one = PatientBootstrap(["p"], resamples=5)
        retrieval_figures(image[:1], text[:1], make_reference(annotations[:1]), one)
