"""Everything a run trains on, read, checked and lined up: row i is the same study in every part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medtrim.data import ImageCache, assign_splits, check_patient_overlap, read_corpus
from medtrim.errors import TableError, TrainingError
from medtrim.mining.coded import CodedFindings, read_coded
from medtrim.mining.reading import encode_coded
from medtrim.mining.similarity import EncodedStudies, ScoreConfig, ScoreWeights
from medtrim.training.config import TrainConfig
from medtrim.types import Provenance, Reject, schemas
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import Progress, no_progress, read_table

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingCorpus:
    """The training studies and what is known about them.

    Attributes:
        studies: of the training split, usable ones only, in the order of the table.
        evaluation: studies of the evaluation split.
        rejects: records that could not be used.
        cache: images; `image_rows[i]` is the row of study i.
        encoded: annotations for the score, in the order of `studies`; None without an annotations table.
        triplets: int [T 3], rows of `studies`; None without a triplets table.
        triplets_left_out: rows of the triplets table that touch a study outside the training split, or a
            rejected one.
        patients: a code a patient [N].
        ontology: provenance of the annotations, for the record.
    """

    studies: StudyTable
    evaluation: StudyTable
    rejects: tuple[Reject, ...]
    cache: ImageCache
    image_rows: Rows
    encoded: EncodedStudies | None
    triplets: Rows | None
    triplets_left_out: int
    patients: Rows
    ontology: Provenance | None

    def __len__(self) -> int:
        return len(self.studies)


class CorpusTables:
    """The tables that `config.data` names, each read once, however often it is asked for."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._encoded: tuple[StudyTable, EncodedStudies] | None = None

    @cached_property
    def studies(self) -> StudyTable:
        """The studies with a report, each with its split.

        Raises:
            TableError: the table is unreadable or lacks columns.
            TrainingError: a patient has studies in two splits.
        """
        return self._read[0]

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """The records that `studies` lacks; errors as there."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[StudyTable, tuple[Reject, ...]]:
        data = self.config.data
        root = data.image_root or data.studies.parent
        reading = read_corpus(data.studies, columns=data.columns or None, image_root=root)
        # Labels are of no use here.
        found = StudyTable(reading.studies.table.select(schemas.STUDIES.names))
        written = found.written()
        silent = found.select(~written).study_ids
        empty = (Reject(study_id, str(data.studies.name), "the report is empty") for study_id in silent)
        studies = found.select(written) if silent else found
        if not pc.all(pc.not_equal(studies.texts("split"), "")).as_py():
            studies = assign_splits(studies, fractions=data.fractions, seed=data.split_seed)
        try:
            check_patient_overlap(studies)
        except TableError as error:
            raise TrainingError(f"training refuses patients that are in more than one split: {error}") from error
        return studies, (*reading.rejects, *empty)

    @cached_property
    def findings(self) -> CodedFindings | None:
        """The annotations, as far as the score reads them; None where the recipe names no table.

        Raises:
            TableError: the table is unreadable.
        """
        return None if self.config.data.annotations is None else read_coded(self.config.data.annotations)

    def encoded(self, studies: StudyTable) -> EncodedStudies | None:
        """The annotations of `studies` for the score, in their order.

        Raises:
            TableError: the annotations table is unreadable, or a study has none.
        """
        if self.findings is None:
            return None
        if self._encoded is not None and self._encoded[0].table["study_id"].equals(studies.table["study_id"]):
            return self._encoded[1]
        given = self.config.score
        weights = ScoreWeights(given.disease, given.adjective, given.direction)
        score = ScoreConfig(weights=weights, mode=given.mode, assertions=given.assertions)
        encoded = encode_coded(self.findings, studies.study_ids, score)
        self._encoded = studies, encoded
        return encoded

    def in_splits(self, *names: str) -> StudyTable:
        """The studies of these splits, in their order."""
        return self.studies.select(pc.is_in(self.studies.texts("split"), pa.array(names)))

    def split_names(self) -> str:
        """The splits that there are, for a message."""
        return ", ".join(sorted(map(repr, pc.unique(self.studies.texts("split")).to_pylist()))) or "none"

    def triplets(self, training: StudyTable) -> tuple[Rows | None, int]:
        """The triplets within the training studies as rows of them, and how many others the table has.

        Raises:
            TableError: the table is unreadable, names an unknown study, or none lies within the split.
        """
        path = self.config.data.triplets
        if path is None:
            return None, 0
        table = read_table(path, schemas.TRIPLETS, table="triplets")
        ids = training.table["study_id"].combine_chunks()
        elsewhere = pa.array([*self.studies.study_ids, *(r.study_id for r in self.rejects)], pa.string())
        columns = []
        for role in ("anchor", "positive", "negative"):
            found = pc.index_in(table[role], ids)
            unknown = table[role].filter(pc.and_(pc.is_null(found), pc.invert(pc.is_in(table[role], elsewhere))))
            if len(unknown):
                raise TableError(f"triplets: {role} {unknown[0].as_py()!r} is not in the studies table")
            columns.append(pc.fill_null(found, -1).to_numpy())
        rows = np.stack(columns, axis=1).astype(np.int64)
        inside = (rows >= 0).all(axis=1)
        if not inside.any():
            raise TableError(f"triplets: none of {len(rows)} lies within split {self.config.data.train_split!r}")
        return np.ascontiguousarray(rows[inside]), int((~inside).sum())


def read_training_corpus(
    config: TrainConfig,
    *,
    image_size: int,
    build_cache: bool = True,
    tables: CorpusTables | None = None,
    progress: Progress = no_progress,
) -> TrainingCorpus:
    """Read the tables that `config.data` names and bring the image cache up to date.

    A cache that `data.cache` names and that holds every study is used as it is; `medtrim data cache` notices
    changed files. Otherwise missing images are decoded into it.

    Args:
        tables: those of `config`, as far as they were read before.

    Raises:
        TableError: a table is unreadable, a study has no annotation, or a triplet names an unknown study.
        TrainingError: a patient has studies in two splits, or nothing is left to train on.
    """
    tables = tables or CorpusTables(config)
    cache, broken = _cache(tables, image_size=image_size, build=build_cache, progress=progress)
    cached = cache.holds(tables.studies.study_ids)
    splits = tables.studies.texts("split")
    training = tables.studies.select(cached & pc.equal(splits, config.data.train_split).to_numpy())
    if not training:
        raise TrainingError(
            f"no usable study in split {config.data.train_split!r}; splits found: {tables.split_names()}"
        )
    encoded = tables.encoded(training)
    triplets, left_out = tables.triplets(training)
    return TrainingCorpus(
        studies=training,
        evaluation=tables.studies.select(cached & pc.equal(splits, config.data.eval_split).to_numpy()),
        rejects=(*tables.rejects, *broken),
        cache=cache,
        image_rows=cache.rows(training.study_ids),
        encoded=encoded,
        triplets=triplets,
        triplets_left_out=left_out,
        patients=patient_codes(training),
        ontology=tables.findings.provenance if tables.findings is not None else None,
    )


def patient_codes(studies: StudyTable) -> Rows:
    """A code for the patient of each study [N], in the order of their ids."""
    encoded = studies.texts("patient_id").combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
    return np.asarray(rank[encoded.indices.to_numpy()])


def read_reports(studies: Path) -> list[str]:
    """The reports of a studies table that are not empty."""
    return [report for report in read_corpus(studies).studies.reports().to_pylist() if report]


def _cache(
    tables: CorpusTables, *, image_size: int, build: bool, progress: Progress
) -> tuple[ImageCache, list[Reject]]:
    data = tables.config.data
    path = data.cache or tables.config.out / "cache"
    wanted = tables.in_splits(data.train_split, data.eval_split)
    if (data.cache is not None and (path / "index.parquet").exists()) or not build:
        cache = ImageCache(path)
        missing = wanted.select(~cache.holds(wanted.study_ids)).study_ids
        if not missing or not build:
            return cache, [Reject(study_id, str(path), "its image is not in the cache") for study_id in missing]
    built = ImageCache.build(
        wanted,
        root=data.image_root or data.studies.parent,
        size=image_size,
        path=path,
        fit=data.fit,
        equalize=data.equalize,
        workers=data.workers or None,
        progress=progress,
    )
    return built.cache, list(built.rejects)
