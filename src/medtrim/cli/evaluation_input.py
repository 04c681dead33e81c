"""What `medtrim evaluate` reads: the studies, in Parquet or as any corpus, and what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medtrim.errors import ConfigError, TableError

if TYPE_CHECKING:
    from medtrim.types import Annotation, Contradictions, Reject, Study


@dataclass(frozen=True)
class StudiesInput:
    """Studies, the folder that their images start from, and what could not be used."""

    studies: Sequence[Study]
    root: Path
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True)
class Truth:
    """Findings of the studies, and which descriptors contradict each other."""

    annotations: Sequence[Annotation]
    contradictions: Contradictions


def read_input(path: Path, splits: Sequence[str]) -> StudiesInput:
    """The studies table at `path`, or whatever `read_corpus` reads there.

    Raises:
        TableError: it cannot be read, or no study has one of `splits`, as in a raw table without a split column.
    """
    from medtrim.data import read_corpus
    from medtrim.entities import split_sections
    from medtrim.types.tables import read_studies

    if path.suffix.lower() in (".parquet", ".pq"):
        return StudiesInput(read_studies(path), path.parent)
    reading = read_corpus(path, split_sections=split_sections)
    if not any(s.split in splits for s in reading.studies):
        raise TableError(
            f"{path}: no study is in split {' or '.join(map(repr, splits))}; "
            "`medtrim data import` makes a studies table with splits by patient"
        )
    return StudiesInput(reading.studies, path if path.is_dir() else path.parent, reading.rejects)


def read_truth(studies: Path | None, annotations: Path | None, column: str | None) -> Truth:
    """What is true: an annotations table, or a column of the studies table, one of the two.

    Raises:
        ConfigError: both are given, or neither. TableError: it cannot be read.
    """
    from medtrim.evaluation.truth import annotations_of_column, contradictions_of_table
    from medtrim.types import DEFAULT_CONTRADICTIONS
    from medtrim.types.tables import read_annotations

    if (annotations is None) == (column is None):
        raise ConfigError("say what is true: --annotations TABLE or --truth-column NAME, one of the two")
    if annotations is not None:
        return Truth(read_annotations(annotations, mentions=False), contradictions_of_table(annotations))
    if studies is None:
        raise ConfigError("--truth-column needs --studies, the table that has the column")
    return Truth(annotations_of_column(studies, str(column)), DEFAULT_CONTRADICTIONS)
