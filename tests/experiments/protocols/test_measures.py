from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.data.phantom import make_corpus
from medtrim.evaluation import Embeddings, PatientBootstrap
from medtrim.experiments.protocols.measures import class_precision, merge_texts, text_recall, zero_shot_accuracy
from medtrim.models import build_dual_encoder, save_checkpoint
from medtrim.types import Provenance
from medtrim.types.tables import read_studies, studies_to_table, write_table

CLASSES = np.array([0, 0, 1, 1, 2, 2, 2])
TEXTS = [4, 9, 4, 7, 7, 7, 1]


@pytest.fixture
def vectors() -> Embeddings:
    rng = np.random.default_rng(3)
    image, text = (rng.normal(size=(len(CLASSES), 6)).astype(np.float32) for _ in range(2))
    return Embeddings(tuple(f"s{i}" for i in range(len(CLASSES))), image, text)


@pytest.fixture
def bootstrap() -> PatientBootstrap:
    return PatientBootstrap([f"p{i}" for i in range(len(CLASSES))], resamples=20)


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)[None, :])


@pytest.mark.parametrize("own", [True, False])
def test_class_precision_equals_a_loop(vectors: Embeddings, bootstrap: PatientBootstrap, own: bool) -> None:
    figures = class_precision(vectors, CLASSES, bootstrap, cuts=(1, 3), own_in_gallery=own)
    for direction, a, b in (("i2t", vectors.image, vectors.text), ("t2i", vectors.text, vectors.image)):
        similarity = cosines(a, b)
        for k in (1, 3):
            shares = []
            for query in range(len(CLASSES)):
                others = [r for r in range(len(CLASSES)) if own or r != query]
                top = sorted(others, key=lambda r: -similarity[query, r])[:k]
                shares.append(sum(CLASSES[r] == CLASSES[query] for r in top) / k)
            found = next(f for f in figures if f.direction == direction and f.metric == f"P@{k}")
            assert found.value == pytest.approx(np.mean(shares))
            assert found.n == len(CLASSES)


@pytest.mark.parametrize("merge", [True, False])
def test_recall_of_merged_texts_equals_a_loop(
    vectors: Embeddings, bootstrap: PatientBootstrap, merge: bool
) -> None:
    gallery = merge_texts(vectors, TEXTS, merge=merge)
    codes = TEXTS if merge else list(range(len(TEXTS)))
    entries = sorted(set(codes))
    assert gallery.vectors.shape[0] == len(entries)
    # A text stands by the vector of the first study that has it.
    rows = [codes.index(code) for code in entries]
    similarity = cosines(vectors.image, vectors.text[rows])
    figures = text_recall(vectors, gallery, bootstrap, cuts=(1, 2))
    for k in (1, 2):
        forward, backward = [], []
        for study, code in enumerate(codes):
            top = sorted(range(len(entries)), key=lambda t: -similarity[study, t])[:k]
            forward.append(code in [entries[t] for t in top])
            column = similarity[:, entries.index(code)]
            images = sorted(range(len(codes)), key=lambda i: -column[i])[:k]
            backward.append(code in [codes[i] for i in images])
        values = {f.direction: f.value for f in figures if f.metric == f"R@{k}"}
        assert values == {"i2t": pytest.approx(np.mean(forward)), "t2i": pytest.approx(np.mean(backward))}


def test_zero_shot_accuracy_of_clear_cases(bootstrap: PatientBootstrap) -> None:
    image = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2, 2, 0]]
    prompts = [np.stack([row, row + 0.1]) for row in np.eye(3, dtype=np.float32)]
    figures = zero_shot_accuracy(image, prompts, CLASSES, ("a", "b", "c"), bootstrap)
    values = {f.label: f.value for f in figures}
    assert values == {
        "": pytest.approx(5 / 7),
        "a": pytest.approx(1.0),
        "b": pytest.approx(0.5),
        "c": pytest.approx(2 / 3),
    }


def test_the_commands_go_from_a_table_to_figures(tmp_path: Path) -> None:
    make_corpus(60, tmp_path, seed=1, size=64)
    studies = read_studies(tmp_path / "studies.parquet")
    write_table(studies_to_table(studies), tmp_path / "table.parquet", Provenance("studies"))
    bundle = build_dual_encoder("tiny", texts=[s.report for s in studies], seed=0)
    save_checkpoint(bundle, tmp_path / "model", Provenance("model"))
    run, table = CliRunner(), str(tmp_path / "table.parquet")
    made = run.invoke(app, ["experiment", "manifest", "openi-retrieval", table, "-o", str(tmp_path / "m.parquet")])
    assert made.exit_code == 0, made.output
    inputs = [str(tmp_path / "m.parquet"), str(tmp_path / "model"), table]
    options = ["-o", str(tmp_path / "verdict.json"), "--resamples", "20"]
    evaluated = run.invoke(app, ["experiment", "evaluate", *inputs, *options])
    assert evaluated.exit_code == 0, evaluated.output
    assert "i2t retrieval R@10" in evaluated.output
    assert (tmp_path / "verdict.json").exists()
    listed = run.invoke(app, ["experiment", "protocols"])
    assert "mimic-5x200" in listed.output
