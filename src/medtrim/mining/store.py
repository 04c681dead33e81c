"""Shards on disk: a mining run that is killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtrim.errors import MiningError, TableError
from medtrim.mining.corpus import ShardTriplets
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.triplets import MinedTriplets
from medtrim.types import Provenance, medtrim_version
from medtrim.types.tables import provenance_of, read_table, write_table

KIND = "triplet shard"
SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("anchor", pa.int64()),
        ("positive", pa.int64()),
        ("negative", pa.int64()),
        ("positive_score", pa.float64()),
        ("negative_score", pa.float64()),
        ("kind", pa.int8()),
    ]
)


def fingerprint(encoded: EncodedStudies, settings: Mapping[str, Any], patients: np.ndarray | None) -> str:
    """SHA-256 over everything that decides the triplets: corpus, patients, settings, MedTrim's version."""
    digest = hashlib.sha256(json.dumps([medtrim_version(), settings], sort_keys=True).encode())
    for study_id in encoded.study_ids:
        digest.update(study_id.encode() + b"\0")
    for sets in (encoded.disease_sets, encoded.adjective_sets, encoded.direction_sets):
        digest.update(json.dumps(sets.vocabulary).encode() + sets.masks.tobytes())
    codes = (encoded.inverse, encoded.disease_codes, encoded.adjective_codes, encoded.direction_codes)
    for array in (*codes, patients):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class ShardStore:
    """A folder of shards of one run, each written atomically.

    Raises:
        MiningError: the folder holds shards of another run (other annotations, options, seed or version).
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        self._mark = mark
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.parquet")):
            made = provenance_of(_read(path))
            if made is None or made.extra.get("fingerprint") != mark:
                raise MiningError(
                    f"{folder} holds shards of another run (other annotations, options, seed or version); "
                    "remove it (`medtrim mine --restart` does) to start anew"
                )

    def has(self, number: int) -> bool:
        """Whether shard `number` is there."""
        return self._path(number).exists()

    def write(self, number: int, shard: ShardTriplets) -> None:
        """Keep a shard."""
        mined = shard.mined
        columns = [shard.places, *mined.indices.T, mined.positive_score, mined.negative_score, mined.kind]
        table = pa.table([pa.array(column) for column in columns], schema=SCHEMA)
        extra = {"fingerprint": self._mark, "counts": dict(mined.counts)}
        write_table(table, self._path(number), Provenance(KIND, extra=extra))

    def read(self, number: int) -> ShardTriplets:
        """A shard that was kept."""
        table = _read(self._path(number))
        made = provenance_of(table)
        if made is None:
            raise MiningError(f"{self._path(number)} is no shard")
        place, *indices, positive, negative, kind = (table[name].to_numpy() for name in SCHEMA.names)
        mined = MinedTriplets(np.stack(indices, axis=1), positive, negative, kind, made.extra["counts"])
        return ShardTriplets(place, mined)

    def remove(self) -> None:
        """Delete the folder, once the whole table is written."""
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"shard-{number:06}.parquet"


def _read(path: Path) -> pa.Table:
    try:
        return read_table(path, SCHEMA, table="triplet shard")
    except TableError as error:
        raise MiningError(f"{error}; remove the file to mine that shard again") from error
