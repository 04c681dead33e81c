"""Films with a note in words, and retrieval between both by a model that was trained on neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import medtrim
from medtrim.errors import TableError
from medtrim.mining.encoding import encode_studies
from medtrim.training.concepts import Concept, ConceptTable, concept_table
from medtrim.types import Provenance, Study
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.tables import studies_to_table, write_table
from research.films import MANIFEST, ZONES, frontal_rows
from research.prompts import direction
from research.zone_scores import RESAMPLES, Measured, likeness, own_pairs

Floats = NDArray[np.float64]

# Column of the table → metric and direction (shared definitions: docs/evaluation.md).
RETRIEVED = {
    "notes of a film": ("disease P@10", "i2t"),
    "films of a note": ("disease P@10", "t2i"),
    "attributes, notes of a film": ("attribute AUC", "i2t"),
    "attributes, films of a note": ("attribute AUC", "t2i"),
}
MATCHED = ("own note of a film", "own film of a note", "zones alike")


@dataclass(frozen=True)
class NotedFilms:
    """Frontal films with a note that OBER reads; of films with the same note the first.

    Attributes:
        paths, patients, notes: of each film.
        annotations: of the notes; the study ids are the rows' numbers.
        concepts: what several notes affirm, with captions that say so (`medtrim.training.concepts`).
        read: how far each note affirms each concept, in [0, 1], [N K].
        zones: the same of the six zones A to F, [N 6].
    """

    paths: tuple[Path, ...]
    patients: tuple[str, ...]
    notes: tuple[str, ...]
    annotations: pa.Table
    concepts: tuple[Concept, ...]
    read: Floats
    zones: Floats

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def ids(self) -> list[str]:
        """Study ids in the rows' order."""
        return [str(row) for row in range(len(self))]

    def at(self, rows: Sequence[int]) -> NotedFilms:
        """Some of the films."""
        return NotedFilms(
            paths=tuple(self.paths[row] for row in rows),
            patients=tuple(self.patients[row] for row in rows),
            notes=tuple(self.notes[row] for row in rows),
            annotations=_numbered(self.annotations.take(list(rows))),
            concepts=self.concepts,
            read=self.read[list(rows)],
            zones=self.zones[list(rows)],
        )


def read_noted_films(folder: Path) -> NotedFilms:
    """The frontal films of `folder/manifest.csv` whose column `text` holds a note of which OBER reads something.

    Raises:
        TableError: there is no manifest, or no such note in it.
    """
    rows = frontal_rows(folder, columns="text")
    first = {(r.get("text") or "").strip(): r for r in reversed(rows)}
    noted = [r for r in rows if (r.get("text") or "").strip() and first[r["text"].strip()] is r]
    found = medtrim.annotate(
        [r["text"] for r in noted], study_ids=[str(row) for row in range(len(noted))], empty="drop"
    )
    read = found.filter(found.column("read"))
    kept = [noted[int(row)] for row in read.column("study_id").to_pylist()]
    if not kept:
        raise TableError(
            f"{folder / MANIFEST}: no frontal film has a note in the column text of which OBER reads something"
        )
    annotations = _numbered(read)
    encoded = encode_studies(AnnotationTable(annotations))
    table = concept_table(encoded)
    of_note = encoded.inverse[encoded.index_of([str(row) for row in range(len(kept))])]
    return NotedFilms(
        paths=tuple(folder / r["image"] for r in kept),
        patients=tuple(r["patientid"] for r in kept),
        notes=tuple(r["text"] for r in kept),
        annotations=annotations,
        concepts=table.concepts,
        read=table.target[of_note].astype(np.float64),
        zones=zone_targets(table)[of_note],
    )


def zone_targets(table: ConceptTable) -> Floats:
    """How far each distinct annotation affirms an opacity in zones A to F, in [0, 1], [distinct 6].

    A zone that too few annotations name to be a concept is 0.
    """
    column = {concept.name: values for concept, values in zip(table.concepts, table.target.T, strict=True)}
    nothing = np.zeros(len(table.target), np.float32)
    zones = [column.get(f"{side} {row} zone", nothing) for side, row in ZONES]
    return np.stack(zones, axis=1).astype(np.float64)


def _numbered(annotations: pa.Table) -> pa.Table:
    ids = pa.array([str(row) for row in range(len(annotations))], pa.string())
    return annotations.set_column(annotations.schema.get_field_index("study_id"), "study_id", ids)


def write_notes(films: NotedFilms, kept: NDArray[np.bool_], folder: Path) -> None:
    """The films at `kept` as a corpus to train on: `folder/studies.parquet` and `folder/annotations.parquet`."""
    rows = np.flatnonzero(kept)
    studies = [
        Study(str(i), films.patients[i], (str(films.paths[i].absolute()),), findings=films.notes[i], split="train")
        for i in rows.tolist()
    ]
    write_table(studies_to_table(studies), folder / "studies.parquet", Provenance("studies"))
    write_table(films.annotations.take(rows), folder / "annotations.parquet", Provenance("annotations"))


def captioned(captions: NDArray[np.floating], films: NotedFilms) -> Floats:
    """Embeddings of notes by captions of what OBER reads in them, in place of their own words: [N D].

        n = Σ_k y_k (t_k⁺ − t_k⁻)

    with t_k⁺ and t_k⁻ the directions of the captions that affirm and deny concept k, and y_k how far the note does.

    Args:
        captions: unit embeddings of `captions_of(films)`, [M D].
    """
    axes, start = [], 0
    for concept in films.concepts:
        middle = start + len(concept.positive)
        end = middle + len(concept.negative)
        axes.append(direction(captions[start:middle]) - direction(captions[middle:end]))
        start = end
    return np.asarray(films.read @ np.stack(axes))


def captions_of(films: NotedFilms) -> list[str]:
    """The captions of the notes' concepts, affirming before denying ones."""
    return ConceptTable(films.concepts, np.zeros((0, len(films.concepts)), np.float32)).captions


def centred(embedded: NDArray[np.floating]) -> Floats:
    """Unit vectors about the mean of a modality's archive, which needs no label: [N D]."""
    moved = np.asarray(embedded, np.float64) - embedded.mean(axis=0)
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12))


def matching(
    images: Sequence[NDArray[np.floating]],
    texts: Sequence[NDArray[np.floating]],
    films: NotedFilms,
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Measured]:
    """Films and notes matched without diseases; columns of `MATCHED`.

    Args:
        images, texts: unit embeddings of films and notes by each training seed, [N D].
        groups: of each film and its note; those of different groups are not compared. All are without.
    """
    likes = [image @ text.T for image, text in zip(images, texts, strict=True)]
    found = (
        own_pairs(likes, films.patients, groups=groups, resamples=resamples),
        own_pairs([like.T for like in likes], films.patients, groups=groups, resamples=resamples),
        likeness(likes, films.zones, films.patients, groups=groups, resamples=resamples),
    )
    return dict(zip(MATCHED, found, strict=True))


def retrieval(
    images: Sequence[NDArray[np.floating]],
    texts: Sequence[NDArray[np.floating]],
    films: NotedFilms,
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Measured]:
    """Retrieval of diseases between films and notes, all queries, the own note left out; columns of `RETRIEVED`.

    Args:
        images, texts: embeddings of films and notes by each training seed, [N D].
    """
    patients = dict(zip(films.ids, films.patients, strict=True))
    results = [
        medtrim.evaluate_retrieval(
            image,
            text,
            films.annotations,
            study_ids=films.ids,
            patients=patients,
            directions=("i2t", "t2i"),
            resamples=resamples,
        )
        for image, text in zip(images, texts, strict=True)
    ]
    row = {}
    for name, (metric, way) in RETRIEVED.items():
        figures = [result.figure(metric, direction=way) for result in results]
        row[name] = Measured(np.array([f.value for f in figures]), np.stack([f.replicates for f in figures]))
    return row
