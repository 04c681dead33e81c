from __future__ import annotations

import numpy as np
import pytest

from medtrim.experiments.report.embedding_map import make_map, map_class
from medtrim.types import Annotation, Finding


def unit_rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def annotations(n: int) -> list[Annotation]:
    return [Annotation(f"s{i}", (Finding("edema", "present", ("mild",)),) if i % 2 else ()) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "technique"), [(1, "principal components"), (4, "principal components"), (30, "t-SNE")]
)
def test_every_study_is_on_the_map_twice_and_inside(n: int, technique: str) -> None:
    rng = np.random.default_rng(1)
    made = make_map("m", unit_rows(rng, n, 8), unit_rows(rng, n, 8), annotations(n), studies=400, seed=0)
    assert made.technique == technique
    assert [p.modality for p in made.points] == ["image"] * n + ["text"] * n
    assert all(-1e-9 <= v <= 1 + 1e-9 for p in made.points for v in (p.x, p.y))


def test_large_splits_are_thinned_and_maps_repeat() -> None:
    rng = np.random.default_rng(2)
    n = 50
    image, text = unit_rows(rng, n, 4), unit_rows(rng, n, 4)
    first = make_map("m", image, text, annotations(n), studies=40, seed=3)
    assert len(first.points) == 80
    assert first == make_map("m", image, text, annotations(n), studies=40, seed=3)


def test_identical_embeddings_are_one_point() -> None:
    made = make_map("m", np.ones((3, 4)) / 2, np.ones((3, 4)) / 2, annotations(3), studies=400, seed=0)
    assert {(p.x, p.y) for p in made.points} == {(0.5, 0.5)}
    assert made.gap == 0


def test_classes_and_words() -> None:
    both = Annotation(
        "s", (Finding("edema", "present", ("mild",)), Finding("pneumonia", "uncertain", (), ("left",)))
    )
    assert map_class(both) == "several diseases"
    assert map_class(Annotation("s", (Finding("edema", "absent"),))) == "no finding"
    assert map_class(Annotation("s", (Finding("edema", "present"), Finding("hernia", "present")))) == "edema"
    made = make_map("m", np.eye(2)[:1], np.eye(2)[1:], [both], studies=400, seed=0)
    assert made.points[0].words == "mild edema, left pneumonia"
