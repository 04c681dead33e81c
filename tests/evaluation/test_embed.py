from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medtrim.data import ImageCache
from medtrim.errors import ConfigError, RecordError, TableError
from medtrim.evaluation.embed import embed_studies, embed_texts, read_embeddings, write_embeddings
from medtrim.models import encode_texts
from medtrim.types import Provenance


def test_cache_and_files_and_batch_sizes_agree(corpus, bundle, tmp_path):
    studies = corpus.studies[:20]
    cache, _ = ImageCache.build(studies, root=corpus.root, size=32, path=tmp_path / "c")
    from_files = embed_studies(bundle, studies, root=corpus.root, batch_size=7)
    from_cache = embed_studies(bundle, studies, cache)
    assert from_files.study_ids == tuple(s.study_id for s in studies)
    np.testing.assert_allclose(from_files.image, from_cache.image, atol=1e-5)
    np.testing.assert_allclose(from_files.text, from_cache.text, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(from_files.image, axis=1), 1, atol=1e-5)


def test_text_vectors_are_those_of_each_text_alone(corpus, bundle):
    texts = [s.report for s in corpus.studies[:9]] + ["Clear lungs.", "Clear lungs."]
    vectors = embed_texts(bundle, texts, batch_size=4)
    bundle.model.train(False)
    for text, vector in zip(texts, vectors, strict=True):
        tokens = bundle.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            alone = encode_texts(bundle.model, tokens["input_ids"], tokens["attention_mask"]).embedding[0]
        np.testing.assert_allclose(vector, alone.numpy(), atol=1e-5)
    np.testing.assert_array_equal(vectors[-1], vectors[-2])
    assert embed_texts(bundle, []).shape == (0, 8)


def test_a_model_that_reads_findings_does_not_care_for_wording(bundle, monkeypatch):
    texts = ["Small effusion on the left. No pneumothorax.", "small left pleural effusion", "Large left effusion."]
    as_written = embed_texts(bundle, texts)
    monkeypatch.setattr(bundle.model.config, "reads", "findings", raising=False)
    read = embed_texts(bundle, texts)
    np.testing.assert_array_equal(read[0], read[1])
    np.testing.assert_allclose(read[1], as_written[1], atol=1e-6)
    assert (read[0] != read[2]).any()
    assert (as_written[0] != as_written[1]).any()


def test_studies_without_a_usable_image_are_rejects(corpus, bundle):
    studies = [
        corpus.studies[0],
        replace(corpus.studies[1], images=("gone.png",)),
        replace(corpus.studies[2], images=()),
    ]
    found = embed_studies(bundle, studies, root=corpus.root)
    assert found.study_ids == ("s000",)
    assert [(r.study_id, r.reason) for r in found.rejects] == [
        ("s001", "image file is missing"),
        ("s002", "study has no image"),
    ]


def test_the_model_is_left_in_the_mode_it_was(corpus, bundle):
    bundle.model.train(True)
    embed_studies(bundle, corpus.studies[:2], root=corpus.root)
    assert bundle.model.training
    bundle.model.train(False)


def test_vectors_that_are_not_finite_are_an_error_with_the_study(corpus, bundle):
    weight = bundle.model.visual_projection.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        with pytest.raises(RecordError, match="s000.*not finite"):
            embed_studies(bundle, corpus.studies[:2], root=corpus.root)
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_embeddings_table_round_trip(corpus, bundle, tmp_path):
    found = embed_studies(bundle, corpus.studies[:5], root=corpus.root)
    write_embeddings(found, tmp_path / "e.parquet", Provenance("embeddings"))
    read = read_embeddings(tmp_path / "e.parquet")
    assert read.study_ids == found.study_ids
    np.testing.assert_array_equal(read.image, found.image)
    np.testing.assert_array_equal(read.text, found.text)
    picked = read.select(["s003", "s000"])
    np.testing.assert_array_equal(picked.image, found.image[[3, 0]])
    with pytest.raises(TableError, match="'s999'"):
        read.select(["s999"])


def test_somewhere_to_read_images_from_is_needed(corpus, bundle):
    with pytest.raises(ConfigError, match="cache"):
        embed_studies(bundle, corpus.studies[:1])
