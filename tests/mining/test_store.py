"""A killed run goes on where it stopped, and shards of another run are refused."""

from __future__ import annotations

import numpy as np
import pytest

from medtrim.errors import ConfigError, MiningError
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.engines import run_shards
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.similarity import ScoreConfig, encode_studies


class KilledError(Exception):
    pass


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("medtrim.mining.plan.SHARD_DISTINCT", 8)


def test_a_killed_run_loses_no_finished_shard(drawn, tmp_path, monkeypatch):
    encoded = encode_studies(drawn(100))
    expected = mine_corpus(encoded, seed=2)
    folder = tmp_path / "shards"

    def kill(done, total):
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        mine_corpus(encoded, seed=2, shards=folder, progress=kill)
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["shard-000000.parquet", "shard-000001.parquet", "shard-000002.parquet"]
    mined_again = []
    monkeypatch.setattr(
        "medtrim.mining.mine_corpus.run_shards",
        lambda make, shards, **how: (mined_again.extend(s.number for s in shards), run_shards(make, shards, **how))[
            1
        ],
    )
    resumed = mine_corpus(encoded, seed=2, shards=folder)
    assert mined_again[0] == 3
    np.testing.assert_array_equal(resumed.indices, expected.indices)
    np.testing.assert_array_equal(resumed.negative_score, expected.negative_score)
    assert resumed.counts == expected.counts
    assert len(list(folder.iterdir())) == 3 + len(mined_again)


def test_shards_of_another_run_are_refused(drawn, tmp_path):
    corpus = drawn(60)
    mine_corpus(encode_studies(corpus), seed=2, shards=tmp_path)
    others = (
        (encode_studies(corpus), CorpusConfig(), 3),
        (encode_studies(corpus), CorpusConfig(negatives=2), 2),
        (encode_studies(corpus, ScoreConfig(mode="symmetric")), CorpusConfig(), 2),
        (encode_studies(drawn(60, prefix="t")), CorpusConfig(), 2),
        (encode_studies(drawn(60, seed=9)), CorpusConfig(), 2),
    )
    for encoded, config, seed in others:
        with pytest.raises(MiningError, match="shards of another run"):
            mine_corpus(encoded, config, seed=seed, shards=tmp_path)


def test_a_torn_shard_is_named(drawn, tmp_path):
    encoded = encode_studies(drawn(60))
    mine_corpus(encoded, shards=tmp_path)
    path = tmp_path / "shard-000001.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MiningError, match="shard-000001.*mine that shard again"):
        mine_corpus(encoded, shards=tmp_path)


def test_unknown_engines_and_no_workers_are_refused(drawn):
    encoded = encode_studies(drawn(20))
    with pytest.raises(ConfigError, match="allowed: local, ray"):
        mine_corpus(encoded, engine="spark")
    with pytest.raises(ConfigError, match="workers is 0"):
        mine_corpus(encoded, workers=0)


@pytest.mark.ray
def test_ray_gives_the_same(drawn, tmp_path):
    encoded = encode_studies(drawn(100))
    config = CorpusConfig(attribute_hard=0.5, strategy="stratified")
    expected = mine_corpus(encoded, config, seed=2)
    mined = mine_corpus(encoded, config, seed=2, engine="ray", workers=2, shards=tmp_path)
    np.testing.assert_array_equal(mined.indices, expected.indices)
    assert mined.counts == expected.counts
