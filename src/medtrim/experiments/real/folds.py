"""The corpus of a cross-validation on disk: a studies table for each fold, one image cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medtrim.data import ImageCache
from medtrim.entities import annotate_corpus, load_ontology
from medtrim.errors import TableError
from medtrim.experiments.prepare import fingerprint
from medtrim.experiments.real.cohort import Cohort, assign_folds
from medtrim.types import Annotation, Contradictions, Provenance, Reject, Study
from medtrim.types.tables import (
    annotations_to_table,
    rejects_to_table,
    studies_to_table,
    write_table,
)


@dataclass(frozen=True)
class Folds:
    """A cohort dealt into folds.

    Attributes:
        folder: holds the tables that training reads; they hold notes and patients, unlike the results.
        studies: with a usable image, `split` the number of the fold.
        zoned: images with zone scores, likewise.
        zone_rows: row of each of them in `cohort.zones`.
        annotations: of `studies`.
        contradictions: of the ontology that read them.
        cache: images of both.
        count: number of folds.
        fingerprint: of notes, patients, folds, annotations and pixels.
    """

    folder: Path
    cohort: Cohort
    studies: tuple[Study, ...]
    zoned: tuple[Study, ...]
    zone_rows: tuple[int, ...]
    annotations: tuple[Annotation, ...]
    contradictions: Contradictions
    cache: Path
    count: int
    fingerprint: str

    def test(self, fold: int) -> list[Study]:
        """The studies of a fold."""
        return [s for s in self.studies if s.split == str(fold)]

    def table(self, fold: int, *, searching: bool) -> Path:
        """Where the studies with the splits `train`, `val`, `test` of a fold are."""
        return self.folder / f"fold-{fold}{'-search' if searching else ''}.parquet"

    def split(self, fold: int, *, searching: bool) -> list[Study]:
        """All studies with their split while `fold` is tested; while searching, the next fold is held out too."""
        names = {str(fold): "test"} | ({str((fold + 1) % self.count): "val"} if searching else {})
        return [replace(s, split=names.get(s.split, "train")) for s in self.studies]

    def training_annotations(self, fold: int, *, searching: bool) -> Path:
        """Annotations of the training split alone: methods are told nothing else."""
        return self.folder / f"annotations-{fold}{'-search' if searching else ''}.parquet"


def make_folds(cohort: Cohort, folder: Path, *, folds: int, seed: int, size: int) -> Folds:
    """Deal the cohort into folds, read its notes and write what training needs into `folder`.

    Args:
        size: side of the images in pixels.

    Raises:
        TableError: fewer patients than folds, or a fold without two studies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    built = ImageCache.build(
        [*cohort.studies, *cohort.zoned], root=folder, size=size, path=folder / "cache", workers=1
    )
    fold_of = assign_folds(cohort.studies, cohort.zoned, folds=folds, seed=seed)
    studies, zoned = (
        [replace(s, split=str(fold_of[s.patient_id])) for s in listed if s.study_id in built.cache]
        for listed in (cohort.studies, cohort.zoned)
    )
    ontology = load_ontology()
    annotations = list(annotate_corpus(studies, ontology=ontology))
    row = {s.study_id: i for i, s in enumerate(cohort.zoned)}
    mark = fingerprint([*studies, *zoned], annotations, annotations, built.cache)
    made = Folds(
        folder,
        cohort,
        tuple(studies),
        tuple(zoned),
        tuple(row[s.study_id] for s in zoned),
        tuple(annotations),
        ontology.contradictions,
        folder / "cache",
        folds,
        mark,
    )
    axes = {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()}
    provenance = Provenance("annotations", ontology=ontology.ref, extra={"contradictions": axes})
    _write(made, provenance, (*cohort.rejects, *built.rejects))
    return made


def _write(folds: Folds, provenance: Provenance, rejects: Sequence[Reject]) -> None:
    write_table(rejects_to_table(rejects), folds.folder / "rejects.parquet", Provenance("rejects"))
    for fold in range(folds.count):
        if len(folds.test(fold)) < 2:
            raise TableError(
                f"fold {fold} has {len(folds.test(fold))} studies with a usable image: choose fewer folds"
            )
        for searching in (False, True):
            split = folds.split(fold, searching=searching)
            write_table(studies_to_table(split), folds.table(fold, searching=searching), Provenance("studies"))
            train = {s.study_id for s in split if s.split == "train"}
            kept = [a for a in folds.annotations if a.study_id in train]
            path = folds.training_annotations(fold, searching=searching)
            write_table(annotations_to_table(kept), path, provenance)
