"""Everything a run trains on, read, checked and lined up: row i is the same study in every part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.data import ImageCache, assign_splits, check_patient_overlap, read_corpus
from medtrim.errors import TableError, TrainingError
from medtrim.mining.reading import encode_table_of, read_findings
from medtrim.mining.similarity import EncodedStudies, ScoreConfig, ScoreWeights
from medtrim.training.config import TrainConfig
from medtrim.types import Provenance, Reject, Study, schemas
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

    studies: tuple[Study, ...]
    evaluation: tuple[Study, ...]
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


def read_training_corpus(
    config: TrainConfig, *, image_size: int, build_cache: bool = True, progress: Progress = no_progress
) -> TrainingCorpus:
    """Read the tables that `config.data` names and bring the image cache up to date.

    A cache that `data.cache` names and that holds every study is used as it is; `medtrim data cache` notices
    changed files. Otherwise missing images are decoded into it.

    Raises:
        TableError: a table is unreadable, a study has no annotation, or a triplet names an unknown study.
        TrainingError: a patient has studies in two splits, or nothing is left to train on.
    """
    studies, rejects = read_split_studies(config)
    splits = (config.data.train_split, config.data.eval_split)
    wanted = [s for s in studies if s.split in splits]
    cache, broken = _cache(wanted, config, image_size=image_size, build=build_cache, progress=progress)
    rejects += broken
    usable = [s for s in wanted if s.study_id in cache]
    training = tuple(s for s in usable if s.split == config.data.train_split)
    if not training:
        there = ", ".join(sorted({repr(s.split) for s in studies})) or "none"
        raise TrainingError(f"no usable study in split {config.data.train_split!r}; splits found: {there}")
    encoded, ontology = encode_annotations(training, config)
    triplets, left_out = read_triplet_rows(training, studies, rejects, config)
    return TrainingCorpus(
        studies=training,
        evaluation=tuple(s for s in usable if s.split == config.data.eval_split),
        rejects=tuple(rejects),
        cache=cache,
        image_rows=cache.rows([s.study_id for s in training]),
        encoded=encoded,
        triplets=triplets,
        triplets_left_out=left_out,
        patients=patient_codes(training),
        ontology=ontology,
    )


def patient_codes(studies: Sequence[Study]) -> Rows:
    """A code for the patient of each study [N]."""
    _, codes = np.unique([s.patient_id for s in studies], return_inverse=True)
    return codes.astype(np.int64)


def read_reports(studies: Path) -> list[str]:
    """The reports of a studies table that are not empty."""
    return [s.report for s in read_corpus(studies).studies if s.report]


def read_split_studies(config: TrainConfig) -> tuple[list[Study], list[Reject]]:
    """The studies with a report, each with its split, and the rejects.

    Raises:
        TableError: the table is unreadable or lacks columns.
        TrainingError: a patient has studies in two splits.
    """
    data = config.data
    root = data.image_root or data.studies.parent
    reading = read_corpus(data.studies, columns=data.columns or None, image_root=root)
    rejects = list(reading.rejects)
    studies = []
    for study in reading.studies:
        if study.report:
            studies.append(study)
        else:
            rejects.append(Reject(study.study_id, str(data.studies.name), "the report is empty"))
    if not all(s.split for s in studies):
        studies = assign_splits(studies, fractions=data.fractions, seed=data.split_seed)
    try:
        check_patient_overlap(studies)
    except TableError as error:
        raise TrainingError(f"training refuses patients that are in more than one split: {error}") from error
    return studies, rejects


def _cache(
    studies: Sequence[Study], config: TrainConfig, *, image_size: int, build: bool, progress: Progress
) -> tuple[ImageCache, list[Reject]]:
    path = config.data.cache or config.out / "cache"
    if config.data.cache is not None and (path / "index.parquet").exists():
        cache = ImageCache(path)
        if all(s.study_id in cache for s in studies):
            return cache, []
    if not build:
        cache = ImageCache(path)
        missing = [s.study_id for s in studies if s.study_id not in cache]
        return cache, [Reject(study_id, str(path), "its image is not in the cache") for study_id in missing]
    built = ImageCache.build(
        studies,
        root=config.data.image_root or config.data.studies.parent,
        size=image_size,
        path=path,
        fit=config.data.fit,
        equalize=config.data.equalize,
        workers=config.data.workers or None,
        progress=progress,
    )
    return built.cache, list(built.rejects)


def encode_annotations(
    studies: Sequence[Study], config: TrainConfig
) -> tuple[EncodedStudies | None, Provenance | None]:
    """The annotations of `studies` for the score, in their order, and where they come from.

    Raises:
        TableError: the annotations table is unreadable, or a study has none.
    """
    if config.data.annotations is None:
        return None, None
    table = read_findings(config.data.annotations)
    provenance = Provenance.from_metadata(table.schema.metadata)
    weights = ScoreWeights(config.score.disease, config.score.adjective, config.score.direction)
    score = ScoreConfig(weights=weights, mode=config.score.mode, assertions=config.score.assertions)
    return encode_table_of(table, [s.study_id for s in studies], score), provenance


def read_triplet_rows(
    training: Sequence[Study], studies: Sequence[Study], rejects: Sequence[Reject], config: TrainConfig
) -> tuple[Rows | None, int]:
    """The triplets within the training studies as rows of them, and how many others the table has.

    Raises:
        TableError: the table is unreadable, names an unknown study, or none lies within the split.
    """
    if config.data.triplets is None:
        return None, 0
    table = read_table(config.data.triplets, schemas.TRIPLETS, table="triplets")
    row_of = {s.study_id: i for i, s in enumerate(training)}
    elsewhere = {s.study_id for s in studies} | {r.study_id for r in rejects}
    columns = []
    for role in ("anchor", "positive", "negative"):
        ids = table.column(role).to_pylist()
        unknown = next((i for i in ids if i not in row_of and i not in elsewhere), None)
        if unknown is not None:
            raise TableError(f"triplets: {role} {unknown!r} is not in the studies table")
        columns.append([row_of.get(i, -1) for i in ids])
    rows = np.array(columns, dtype=np.int64).reshape(3, -1).T
    inside = (rows >= 0).all(axis=1)
    if not inside.any():
        raise TableError(f"triplets: none of {len(rows)} lies within split {config.data.train_split!r}")
    return np.ascontiguousarray(rows[inside]), int((~inside).sum())
