from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from medtrim.evaluation import Embeddings
from medtrim.experiments.report.gallery import TOP, GalleryCorpus, data_uri, draw_queries, random_gallery
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Finding, Study

N = 12
SIDES = {"image": "i", "text": "t"}


def load(study: Study) -> np.ndarray:
    return np.full((300, 200), int(study.study_id[1:]) * 10, dtype=np.uint8)


@pytest.fixture
def corpus() -> GalleryCorpus:
    diseases = ("edema", "pneumonia", "pleural effusion")
    sides = ("left", "right")
    return GalleryCorpus(
        tuple(Study(f"s{i:02d}", f"p{i}", (f"{i}.png",), findings=f"Report {i}.") for i in range(N)),
        tuple(
            Annotation(
                f"s{i:02d}", () if i % 4 == 0 else (Finding(diseases[i % 3], "present", (), (sides[i // 6],)),)
            )
            for i in range(N)
        ),
        load,
        DEFAULT_CONTRADICTIONS,
    )


@pytest.fixture
def annotations(corpus: GalleryCorpus) -> list[Annotation]:
    return list(corpus.truth)


@pytest.fixture
def embeddings(corpus: GalleryCorpus) -> dict[str, Embeddings]:
    rng = np.random.default_rng(0)
    ids = tuple(s.study_id for s in corpus.studies)
    return {name: Embeddings(ids, *rng.normal(size=(2, N, 5)).astype(np.float32)) for name in ("medtrim", "clip")}


def test_each_method_shows_its_top_five_without_the_query(
    corpus: GalleryCorpus, embeddings: dict[str, Embeddings]
) -> None:
    gallery = random_gallery(corpus, embeddings, count=8, seed=0)
    assert [item.direction for item in gallery] == [
        *["image→text"] * 3, *["text→image"] * 3, *["image→image"] * 2
    ]  # fmt: skip
    rows = {s.study_id: i for i, s in enumerate(corpus.studies)}
    for item in gallery:
        row = rows[item.query.study_id]
        asked, searched = item.direction.split("→")
        for method, vectors in embeddings.items():
            side = {"image": vectors.image, "text": vectors.text}
            found = item.retrieved[method]
            assert len(found) == TOP
            query = side[asked][row]
            cosine = {
                i: float(v @ query / np.linalg.norm(v) / np.linalg.norm(query))
                for i, v in enumerate(side[searched])
                if i != row
            }
            expected = sorted(cosine, key=lambda i: -cosine[i])[:TOP]
            assert [rows[s.study_id] for s in found] == expected
            assert [s.similarity for s in found] == pytest.approx([cosine[i] for i in expected], abs=1e-6)


def test_findings_are_marked_against_the_query(corpus: GalleryCorpus, embeddings: dict[str, Embeddings]) -> None:
    (item,) = random_gallery(corpus, embeddings, count=1, seed=1)
    by_id = {a.study_id: a.findings for a in corpus.truth}
    (asked,) = by_id[item.query.study_id]
    for study in item.retrieved["clip"]:
        theirs = by_id[study.study_id]
        same = [f for f in theirs if f.disease == asked.disease]
        assert bool(study.conflicts) == any(f.directions != asked.directions for f in same)
        assert study.missing == (() if same else (asked.disease,))


def test_queries_are_abnormal_varied_and_repeatable(annotations: list[Annotation]) -> None:
    drawn = draw_queries(annotations, 6, seed=5)
    assert drawn == draw_queries(annotations, 6, seed=5)
    assert len(set(drawn)) == 6
    assert all(annotations[i].findings for i in drawn)
    assert len({annotations[i].findings[0].disease for i in drawn[:3]}) == 3
    assert len(draw_queries(annotations, 100, seed=5)) == 9
    assert draw_queries([Annotation("s")], 3, seed=0) == []


def test_studies_without_descriptor_fill_up() -> None:
    plain = [
        Annotation("a", (Finding("edema", "present"),)),
        Annotation("b", (Finding("edema", "present", ("mild",)),)),
    ]
    assert draw_queries(plain, 2, seed=0) == [1, 0]


def test_few_studies_make_a_short_gallery() -> None:
    studies = (Study("a", "p", findings="x"), Study("b", "q", findings="y"))
    annotations = (Annotation("a", (Finding("edema", "present", ("mild",)),)), Annotation("b"))
    few = GalleryCorpus(studies, annotations, lambda _: None, DEFAULT_CONTRADICTIONS)
    one = Embeddings(("a", "b"), np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    (item,) = random_gallery(few, {"m": one}, count=8, seed=0)
    assert item.query.image == ""
    assert [s.study_id for s in item.retrieved["m"]] == ["b"]


def test_pictures_are_small_jpegs() -> None:
    uri = data_uri(np.zeros((1000, 500), dtype=np.uint8))
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body)), formats=("PNG", "JPEG")) as image:
        assert image.size == (96, 192)
