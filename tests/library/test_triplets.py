from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

import medtrim
from medtrim.errors import ConfigError, MiningError, TableError
from medtrim.types import schemas
from medtrim.types.sources import load_annotations

WORDS = ["Small left effusion.", "Large right effusion.", "Mild edema.", "Left rib fracture.", "Clear.",
         "Small left effusion and edema."]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(1)
    return medtrim.annotate(rng.choice(WORDS, 40).tolist(), study_ids=[f"s{i}" for i in range(40)])


@pytest.mark.parametrize(
    ("method", "options"), [("pool", {"iterations": 3}), ("corpus", {"slack": 0.05}), ("batch", {"limit": 50})]
)
def test_scores_of_triplets_are_those_of_their_study_ids(found, method, options):
    triplets = medtrim.mine_triplets(found, method=method, seed=3, **options)
    scores = medtrim.score_matrix(found)
    assert len(triplets) > 5
    for i, t in enumerate(triplets):
        assert scores[t.anchor, t.positive] == pytest.approx(t.positive_score)
        assert scores[t.anchor, t.negative] == pytest.approx(t.negative_score)
        assert [triplets.study_ids[r] for r in triplets.corpus_indices[i]] == [t.anchor, t.positive, t.negative]
    again = medtrim.mine_triplets(found, method=method, seed=3, **options)
    np.testing.assert_array_equal(again.corpus_indices, triplets.corpus_indices)


def test_a_batch_has_the_triplets_within_it_with_its_own_indices(found):
    triplets = medtrim.mine_triplets(found, method="batch", limit=0)
    ids = np.random.default_rng(0).permutation(triplets.study_ids)[:17].tolist()
    batch = triplets[ids]
    expected = [
        (ids.index(t.anchor), ids.index(t.positive), ids.index(t.negative))
        for t in triplets
        if {t.anchor, t.positive, t.negative} <= set(ids)
    ]
    assert len(expected) == len(batch) > 0
    assert [tuple(row) for row in batch.indices.tolist()] == expected
    assert len(triplets[ids[:2]]) == 0


def test_only_some_studies_and_only_other_patients(found):
    chosen = [f"s{i}" for i in range(25)]
    patients = {f"s{i}": f"p{i % 8}" for i in range(25)}
    options = {"method": "corpus", "study_ids": chosen, "patients": patients, "other_patients": True}
    triplets = medtrim.mine_triplets(found, **options)
    assert triplets.study_ids == tuple(chosen)
    for t in triplets:
        assert patients[t.anchor] not in (patients[t.positive], patients[t.negative])
    with pytest.raises(TableError, match="1 studies without a patient, the first is 's3'"):
        medtrim.mine_triplets(found, **{**options, "patients": {k: v for k, v in patients.items() if k != "s3"}})


def test_written_triplets_are_a_triplets_table(found, tmp_path):
    triplets = medtrim.mine_triplets(found, method="corpus")
    triplets.write(tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.select(schemas.TRIPLETS.names).to_pylist()[0]["anchor"] == next(iter(triplets)).anchor
    assert triplets.provenance.config["miner"] == "corpus"
    assert triplets.provenance.ontology == load_annotations(found).provenance.ontology


def test_refusals(found):
    triplets = medtrim.mine_triplets(found, method="corpus")
    for ids, message in ((["s1", "s1"], "1 duplicate"), (["s1", "new"], "'new'"), ("s1", "not one text")):
        with pytest.raises(TableError, match=message):
            triplets[ids]
    with pytest.raises(ConfigError, match="is 'pool' meant"):
        medtrim.mine_triplets(found, method="pools")
    for method in ("pool", "corpus", "batch"):
        with pytest.raises(ConfigError, match="ceilin"):
            medtrim.mine_triplets(found, method=method, ceilin=0.5)
    with pytest.raises(TableError, match="'new'"):
        medtrim.mine_triplets(found, study_ids=["new"])
    with pytest.raises(MiningError):
        medtrim.mine_triplets(medtrim.annotate(["Clear."] * 2), method="corpus")
