from __future__ import annotations

import numpy as np
import pytest

import medtrim
from medtrim.errors import ConfigError, ModelError
from medtrim.types.tables import read_studies


def test_embeddings_from_paths_and_from_records_agree(workplace):
    found = medtrim.embed_studies(workplace / "model", workplace / "studies.parquet")
    assert len(found) == 24
    records = read_studies(workplace / "studies.parquet")
    model = medtrim.load_model(workplace / "model")
    other = medtrim.embed_studies(model, records[::-1], image_root=workplace, batch_size=5)
    assert other.study_ids == found.study_ids[::-1]
    np.testing.assert_allclose(other.image[::-1], found.image, atol=1e-5)
    with pytest.raises(ConfigError, match="image_root"):
        medtrim.embed_studies(model, records)
    result = medtrim.evaluate_retrieval(
        found.image, found.text, workplace / "annotations.parquet", study_ids=found.study_ids, resamples=5
    )
    assert result.facts["studies"] == 24


def test_training_names_what_is_wrong_with_its_settings(workplace, tmp_path):
    with pytest.raises(ConfigError, match="'tiny-cpu' meant"):
        medtrim.train(workplace / "studies.parquet", tmp_path / "run", recipe="tiny")
    with pytest.raises(ConfigError, match="batch.sise"):
        medtrim.train(workplace / "studies.parquet", tmp_path / "run", settings={"batch.sise": 4})
    with pytest.raises(ModelError, match="no checkpoint there"):
        medtrim.load_model(tmp_path / "nothing")
