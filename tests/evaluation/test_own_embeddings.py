"""Own embeddings: the same figures in any order of rows, and a named error for everything that does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from medtrim.errors import EmbeddingsError, TableError
from medtrim.evaluation import (
    Embeddings,
    EvaluationSet,
    evaluate_embeddings,
    evaluate_retrieval,
    gather_embeddings,
    make_reference,
    read_embeddings,
)
from medtrim.evaluation.embed import check_vectors
from medtrim.types import Provenance
from medtrim.types.tables import annotations_to_table, write_table


@pytest.fixture(scope="module")
def vectors(corpus):
    """Ids, image and text vectors of the test studies; the vectors know the truth, blurred."""
    rng = np.random.default_rng(3)
    known = {a.study_id: a for a in corpus.annotations}
    ids = [s.study_id for s in corpus.studies if s.split == "test"]
    clean = np.zeros((len(ids), 12), np.float32)
    for row, study_id in enumerate(ids):
        for f in known[study_id].findings:
            start = ["pleural effusion", "cardiomegaly", "edema"].index(f.disease) * 4
            clean[row, [start, start + (1 if f.directions == ("left",) else 2)]] = 1
    image, text = (clean + 0.2 * rng.normal(size=clean.shape).astype(np.float32) for _ in range(2))
    return ids, image, text


def values(result):
    return [(f.key, f.value, f.low, f.high) for f in result.figures]


def test_rows_in_another_order_give_the_same_figures(corpus, vectors):
    ids, image, text = vectors
    patients = {s.study_id: s.patient_id for s in corpus.studies}
    options = {"patients": patients, "resamples": 20}
    expected = evaluate_retrieval(image, text, corpus.annotations, study_ids=ids, **options)
    assert expected.figure("disease P@10", direction="i2t").value > 0.6
    assert expected.facts["labels_left_out"] == [], "nothing was classified, so no label was too rare for it"
    mine, theirs = (np.random.default_rng(seed).permutation(len(ids)) for seed in (1, 2))
    shuffled = evaluate_retrieval(
        image[mine],
        text[theirs],
        corpus.annotations[::-1],
        study_ids=[ids[i] for i in mine],
        text_ids=[ids[i] for i in theirs],
        **options,
    )
    np.testing.assert_equal(values(shuffled), values(expected))
    # Rows taken for another study's are what alignment by position would give.
    misplaced = evaluate_retrieval(image[mine], text[mine], corpus.annotations, study_ids=ids, **options)
    assert misplaced.figure("disease P@10", direction="i2t").value < 0.4


def test_arrays_tensors_mappings_and_tables_agree(corpus, vectors, tmp_path):
    ids, image, text = vectors
    write_table(annotations_to_table(corpus.annotations), tmp_path / "a.parquet", Provenance("annotations"))
    table = pa.table({"study_id": ids[::-1], "vector": image[::-1].astype(np.float64).tolist()})
    pq.write_table(table, tmp_path / "image.parquet")
    as_given = evaluate_retrieval(image, text, corpus.annotations, study_ids=ids, resamples=5)
    other = evaluate_retrieval(
        tmp_path / "image.parquet",
        dict(zip(ids, torch.from_numpy(text).requires_grad_(), strict=True)),
        tmp_path / "a.parquet",
        resamples=5,
    )
    np.testing.assert_equal(values(other), values(as_given))
    half = evaluate_retrieval(
        torch.from_numpy(image).bfloat16(),
        text,
        annotations_to_table(corpus.annotations),
        study_ids=ids,
        resamples=5,
    )
    assert half.figure("disease P@10", direction="i2t").value == pytest.approx(
        as_given.figure("disease P@10", direction="i2t").value, abs=0.05
    )


def test_what_does_not_fit_is_a_named_error(corpus, vectors):
    ids, image, text = vectors
    holed = text.copy()
    holed[4, 2] = np.nan
    for arguments, options, message in (
        ((image, text), {}, "without study ids"),
        ((image, text[:, :5]), {"study_ids": ids}, "12 numbers, text embeddings 5"),
        ((image, holed), {"study_ids": ids}, f"text embeddings of 1 studies .* not finite: '{ids[4]}'"),
        ((image[1:], text), {"study_ids": ids}, r"image embeddings are \[44, 12\] for 45 study ids"),
        ((image[0], text), {"study_ids": ids}, r"are \[12\]"),
        ((image, text), {"study_ids": [*ids[:-1], ids[0]]}, f"occur twice: '{ids[0]}'"),
        ((image, text), {"study_ids": [*ids[:-1], ""]}, "not empty; received ''"),
        (
            (image, text),
            {"study_ids": ids, "text_ids": [*ids[:-1], "new"]},
            "image embeddings only: 's119'; .*'new'",
        ),
        ((dict(zip(ids, image, strict=True)), {ids[0]: [1.0], ids[1]: [1.0, 2.0]}), {}, "have shapes"),
        ((np.array([["x"]]), text), {"study_ids": ids}, "no array of numbers: received ndarray"),
    ):
        with pytest.raises(EmbeddingsError, match=message):
            evaluate_retrieval(*arguments, corpus.annotations, **options)
    with pytest.raises(EmbeddingsError, match="1 of 45 embedded studies are not among the 119 ann.*: 's119'"):
        evaluate_retrieval(image, text, corpus.annotations[:-1], study_ids=ids)
    with pytest.raises(TableError, match="1 embedded studies without a patient"):
        evaluate_retrieval(image, text, corpus.annotations, study_ids=ids, patients=dict.fromkeys(ids[1:], "p"))
    with pytest.raises(EmbeddingsError, match="texts that are not empty; received 0"):
        check_vectors(image, list(range(45)), side="image")


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def row(study_id, modality, *vector):
    return {"study_id": study_id, "modality": modality, "vector": list(vector)}


def test_tables_of_embeddings_are_checked(tmp_path):
    good = [row("a", "image", 1.0, 0.0), row("b", "image", 0.0, 1.0), row("b", "text", 3.0, 4.0)]
    path = tmp_path / "e.parquet"
    read = read_embeddings(write(path, [*good, row("a", "text", 1.0, 2.0)]))
    assert read.study_ids == ("a", "b")
    assert read.text.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    for rows, message in (
        (good, "1 are in the image embeddings only: 'a'"),
        ([*good, row("a", "text", 1.0)], r"text vectors have \[1, 2\] numbers"),
        ([*good, row("b", "text", 1.0, 1.0)], "text embeddings: 1 study ids occur twice: 'b'"),
        ([*good, row(None, "text", 1.0, 1.0)], "received None"),
        ([*good, row("a", "text", float("inf"), 1.0)], "not finite: 'a'"),
        (good[:2], r"no row of modality 'text'; found: \['image'\]"),
        ([{"study_id": "a", "vector": 1.0}], "holds double; allowed: lists of numbers"),
        ([{"study_id": "a", "vector": ["x"]}], "allowed: numbers"),
    ):
        with pytest.raises(EmbeddingsError, match=message):
            read_embeddings(write(path, rows))
    with pytest.raises(TableError, match="'vector'"):
        read_embeddings(write(path, [{"study_id": "a", "modality": "image", "vectors": [1.0]}]))


def test_an_evaluation_set_holds_one_order_of_studies(corpus, vectors):
    ids, image, text = vectors
    known = {a.study_id: a for a in corpus.annotations}
    reference = make_reference([known[s] for s in ids])
    embeddings = gather_embeddings(image, text, study_ids=ids)
    backwards = embeddings.select(ids[::-1])
    with pytest.raises(EmbeddingsError, match="same order"):
        EvaluationSet(backwards, reference, tuple(ids))
    with pytest.raises(TableError, match="44 patients for 45"):
        EvaluationSet(embeddings, reference, tuple(ids[1:]))
    aligned = EvaluationSet.align(backwards, corpus.annotations, dict(zip(ids, ids, strict=True)))
    assert aligned.embeddings.study_ids == reference.study_ids == tuple(sorted(ids))
    assert evaluate_embeddings(aligned, method="m").study_ids == tuple(sorted(ids))


def test_studies_whose_reports_were_not_read_are_named_and_counted(corpus, vectors):
    ids, image, text = vectors
    annotations = [replace(a, read=a.study_id not in ids[:2]) for a in corpus.annotations]
    embeddings = gather_embeddings(image, text, study_ids=ids)
    aligned = EvaluationSet.align(embeddings, annotations, dict(zip(ids, ids, strict=True)))
    assert aligned.unread == tuple(sorted(ids[:2]))
    facts = evaluate_embeddings(aligned, method="m").facts
    assert (facts["studies"], facts["unread"]) == (len(ids) - 2, 2)


def test_two_sides_of_different_width_make_no_embeddings():
    with pytest.raises(EmbeddingsError, match="must lie in one space"):
        Embeddings(("a",), np.ones((1, 2), np.float32), np.ones((1, 3), np.float32))
    assert len(Embeddings((), np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))) == 0
