"""The same seed gives the same triplets whatever Python's hash seed."""

from __future__ import annotations

import sys
from pathlib import Path

from medtrim.types import Provenance
from medtrim.types.tables import annotations_to_table, write_table

SCRIPT = """
import hashlib, sys
import numpy as np
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.pool import PoolConfig, mine_pools
from medtrim.mining.similarity import encode_studies
from medtrim.mining.reading import read_encoded
from medtrim.types.tables import read_annotations

records = encode_studies(read_annotations(sys.argv[1]))
table = read_encoded(sys.argv[1]).encoded
digest = hashlib.sha256()
for encoded in (records, table):
    pools = mine_pools(encoded, PoolConfig(iterations=5), np.random.default_rng(1))
    corpus = mine_corpus(encoded, CorpusConfig(strategy="stratified", attribute_hard=0.5, balanced=True), seed=1)
    for mined in (pools, corpus):
        digest.update(mined.indices.tobytes() + mined.negative_score.tobytes())
print(digest.hexdigest())
"""


def test_hash_seeds_change_nothing(drawn, tmp_path: Path, monkeypatch, capsys, under_another_hash_seed):
    write_table(annotations_to_table(drawn(300)), tmp_path / "a.parquet", Provenance("annotations"))
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "a.parquet")])
    exec(SCRIPT, {})
    ours = capsys.readouterr().out
    assert len(ours.strip()) == 64
    assert under_another_hash_seed(SCRIPT, str(tmp_path / "a.parquet")) == ours
