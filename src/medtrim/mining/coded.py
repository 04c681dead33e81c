"""The findings of an annotations table as codes: what the score needs of them, at a few bytes a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Integer

from medtrim.errors import TableError
from medtrim.types import Annotation, Provenance, schemas
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.tables import provenance_of, read_table, slim_columns

# The parts of a finding that are words.
WORDS = ("disease", "assertion", "adjectives", "directions")
_WORDS_OF_FINDINGS = pa.list_(pa.struct([schemas.FINDING.field(name) for name in WORDS]))
_ROWS = 16384


@dataclass(frozen=True)
class CodedFindings:
    """Every finding of N studies, as parallel arrays of codes.

    Attributes:
        study_ids: [N], each with an id; they may repeat.
        read: whether a study's report was read [N].
        study: row of each finding's study, rising.
        disease, assertion: of each finding, as codes of `words`.
        owners: finding of each descriptor, for adjectives and directions.
        codes: its code of `words`.
        words: the words of each part, in the order in which they were met.
        provenance: of the table.
    """

    study_ids: pa.ChunkedArray
    read: Bool[np.ndarray, " studies"]
    study: Integer[np.ndarray, " findings"]
    disease: Integer[np.ndarray, " findings"]
    assertion: Integer[np.ndarray, " findings"]
    owners: Mapping[str, Integer[np.ndarray, " descriptors"]]
    codes: Mapping[str, Integer[np.ndarray, " descriptors"]]
    words: Mapping[str, tuple[str, ...]]
    provenance: Provenance | None

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    def silent(self) -> Bool[np.ndarray, " studies"]:
        """Studies without any finding, not even a denied one."""
        return np.asarray(np.bincount(self.study, minlength=len(self)) == 0)

    def select(self, kept: Bool[np.ndarray, " studies"]) -> CodedFindings:
        """The studies for which `kept` is true."""
        return self.take(np.flatnonzero(kept))

    def take(self, rows: Integer[np.ndarray, " taken"]) -> CodedFindings:
        """Some studies, each once, in the order of `rows`."""
        place = np.full(len(self), -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(place[self.study] >= 0)
        position = np.full(len(self.study), -1, np.int64)
        position[kept] = np.arange(len(kept))
        inside = {name: position[owner] >= 0 for name, owner in self.owners.items()}
        return replace(
            self,
            study_ids=self.study_ids.take(pa.array(rows)),
            read=self.read[rows],
            study=place[self.study[kept]],
            disease=self.disease[kept],
            assertion=self.assertion[kept],
            owners={name: position[owner[inside[name]]] for name, owner in self.owners.items()},
            codes={name: codes[inside[name]] for name, codes in self.codes.items()},
        )


def read_coded(path: Path | str) -> CodedFindings:
    """The findings of the annotations table at `path`, block by block; mentions, most of the file, are not read.

    Raises:
        TableError: as `read_table`, ids are missing, or a finding lacks a part.
    """
    leaves = slim_columns(path)
    if not leaves:
        table = read_table(path, schemas.ANNOTATIONS, table="annotations")
        return code_findings(table.to_batches(max_chunksize=_ROWS), provenance_of(table))
    columns = [leaf for leaf in leaves if leaf in ("study_id", "read") or set(WORDS) & set(leaf.split("."))]
    with pq.ParquetFile(path) as file:
        made = Provenance.from_metadata(file.schema_arrow.metadata)
        return code_findings(_read(file, columns, path), made)


def _read(file: pq.ParquetFile, columns: list[str], path: Path | str) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(_ROWS, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"annotations: {path} cannot be read as Parquet ({error})") from error


def code_annotations(annotations: Sequence[Annotation]) -> CodedFindings:
    """The codes of annotation records, or of the rows of a table.

    Raises:
        TableError: as `code_findings`.
    """
    if isinstance(annotations, AnnotationTable):
        return code_findings(annotations.table.combine_chunks().to_batches())
    rows = [[{name: getattr(finding, name) for name in WORDS} for finding in a.findings] for a in annotations]
    columns = {
        "study_id": pa.array([a.study_id for a in annotations], pa.string()),
        "findings": pa.array(rows, _WORDS_OF_FINDINGS),
        "read": pa.array([a.read for a in annotations], pa.bool_()),
    }
    return code_findings([pa.RecordBatch.from_pydict(columns)])


def code_findings(batches: Iterable[pa.RecordBatch], provenance: Provenance | None = None) -> CodedFindings:
    """The codes of record batches with the columns `study_id`, `findings` and `read`.

    Raises:
        TableError: ids are missing, or a finding lacks its disease, assertion or descriptors.
    """
    ids: list[pa.Array] = []
    parts: dict[str, list[np.ndarray]] = {}
    known: dict[str, dict[str, int]] = {name: {} for name in WORDS}
    studies = findings = 0

    def add(name: str, values: np.ndarray) -> None:
        parts.setdefault(name, []).append(values)

    for batch in batches:
        ids.append(batch.column("study_id"))
        if missing := ids[-1].null_count:
            raise TableError(f"annotations: {missing} row(s) without a study id")
        lists = batch.column("findings")
        found = lists.flatten()
        add("read", pc.fill_null(batch.column("read"), True).to_numpy(zero_copy_only=False).astype(bool))
        add("study", _parents(lists, studies))
        for name in ("disease", "assertion"):
            add(name, _codes(found.field(name), known[name]))
        for name in ("adjectives", "directions"):
            # A struct's own nulls would hide here; findings are never null.
            descriptors = found.field(name)
            add(f"{name} of", _parents(descriptors, findings))
            add(name, _codes(descriptors.flatten(), known[name]))
        studies += len(batch)
        findings += len(found)

    def whole(name: str, kind: type[np.generic] = np.int32) -> np.ndarray:
        return np.concatenate([np.zeros(0, kind), *parts.get(name, [])]).astype(kind, copy=False)

    return CodedFindings(
        study_ids=pa.chunked_array(ids, pa.string()),
        read=whole("read", np.bool_),
        study=whole("study"),
        disease=whole("disease"),
        assertion=whole("assertion"),
        owners={name: whole(f"{name} of") for name in ("adjectives", "directions")},
        codes={name: whole(name) for name in ("adjectives", "directions")},
        words={name: tuple(words) for name, words in known.items()},
        provenance=provenance,
    )


def _parents(lists: pa.ListArray, before: int) -> Integer[np.ndarray, " items"]:
    """For each item of `lists` the number of its list, counted from `before`."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(before, before + len(lists), dtype=np.int32), lengths)


def _codes(values: pa.Array, known: dict[str, int]) -> Integer[np.ndarray, " values"]:
    """The numbers of words, new ones behind those that are known."""
    if values.null_count:
        raise TableError("annotations: a finding lacks its disease, assertion or descriptors")
    encoded = values.dictionary_encode()
    numbers = [known.setdefault(word, len(known)) for word in encoded.dictionary.to_pylist()]
    return np.asarray(np.array(numbers, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)])
