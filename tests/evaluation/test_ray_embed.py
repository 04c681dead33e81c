"""Embedding on a local Ray cluster (run by `make test-ray`)."""

from dataclasses import replace

import numpy as np
import pytest

from medtrim.data import ImageCache
from medtrim.evaluation.embed import embed_studies
from medtrim.types.processes import Engine


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own start-up warns of settings of its own
def test_vectors_and_rejects_equal_those_of_one_process(corpus, bundle, tmp_path):
    studies = [*corpus.studies[:18], replace(corpus.studies[18], images=("missing.png",))]
    cache, _ = ImageCache.build(studies, root=corpus.root, size=32, path=tmp_path / "c")
    for where in ({"cache": cache}, {"root": corpus.root}):
        plain = embed_studies(bundle, studies, **where, batch_size=4)
        seen = []
        shared = embed_studies(
            bundle,
            studies,
            **where,
            batch_size=4,
            engine=Engine.ray,
            workers=2,
            progress=lambda *counts, seen=seen: seen.append(counts),
        )
        assert shared.study_ids == plain.study_ids
        assert shared.rejects == plain.rejects
        assert len(shared.rejects) == 1
        np.testing.assert_allclose(shared.image, plain.image, atol=1e-6)
        np.testing.assert_allclose(shared.text, plain.text, atol=1e-6)
        assert seen[-1] == (19, 19)
