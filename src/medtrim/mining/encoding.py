"""Studies as bit masks: what the score needs of each annotation, kept once per distinct annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from medtrim.errors import MiningError, TableError
from medtrim.mining.score_config import ScoreConfig
from medtrim.mining.sets import SetTable, distinct_rows, pack
from medtrim.types import ASSERTIONS, Annotation
from medtrim.types.tables import check_unique

ABSENT = -1
NOT_READ = "not read"


@dataclass(frozen=True)
class EncodedStudies:
    """A corpus ready to be scored.

    S depends on the annotation alone and annotations repeat, so everything but `study_ids` and `inverse` has one
    row a *distinct* annotation (as seen through `config`: only counted diseases and assertions), in order of first
    appearance. Descriptor codes are rows of the set tables; `ABSENT` (−1) where the study lacks the disease.
    A study without any counted disease has the empty disease set, which stands for {no finding}. One whose report
    was not read has the set {not read} instead, unless `config.unread` says that it counts as normal.
    """

    study_ids: tuple[str, ...]
    config: ScoreConfig
    inverse: Integer[np.ndarray, " studies"]
    disease_codes: Integer[np.ndarray, " distinct"]
    adjective_codes: Integer[np.ndarray, "distinct diseases"]
    direction_codes: Integer[np.ndarray, "distinct diseases"]
    disease_sets: SetTable
    adjective_sets: SetTable
    direction_sets: SetTable

    def __len__(self) -> int:
        return len(self.inverse)

    @property
    def distinct(self) -> int:
        """Number of distinct annotations."""
        return len(self.disease_codes)

    @property
    def counts(self) -> Integer[np.ndarray, " distinct"]:
        """How many studies share each distinct annotation."""
        return np.bincount(self.inverse, minlength=self.distinct)

    @property
    def has(self) -> np.ndarray:
        """Boolean [distinct, diseases]: which counted diseases each distinct annotation has."""
        return np.asarray(self.adjective_codes != ABSENT)

    @property
    def is_normal(self) -> np.ndarray:
        """Boolean [studies]: whether a study was read and has no counted disease."""
        return np.asarray((self.disease_sets.sizes == 0)[self.disease_codes][self.inverse])

    @property
    def is_unread(self) -> np.ndarray:
        """Boolean [studies]: whether a study's report was not read, which is not to say that it is normal."""
        empty = ~self.has.any(axis=1)
        marked = self.disease_sets.sizes[self.disease_codes] > 0
        return np.asarray((empty & marked)[self.inverse])

    def index_of(self, study_ids: Sequence[str]) -> Integer[np.ndarray, " found"]:
        """Row of each study id.

        Raises:
            TableError: an id is not in the corpus; the message names the first ones.
        """
        rows = {study_id: i for i, study_id in enumerate(self.study_ids)}
        unknown = [study_id for study_id in study_ids if study_id not in rows]
        if unknown:
            shown = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
            raise TableError(f"{len(unknown)} study id(s) are not in the annotations: {shown}")
        return np.array([rows[study_id] for study_id in study_ids], np.int64)


@dataclass(frozen=True)
class FlatFindings:
    """The counted findings of a corpus as parallel arrays: one entry a finding, one an adjective, one a direction.

    `disease` indexes `config.diseases`; `adjective_of` and `direction_of` give the finding of each descriptor;
    `unread` are the rows of the studies that were not read.
    """

    study: Integer[np.ndarray, " findings"]
    disease: Integer[np.ndarray, " findings"]
    adjective_of: Integer[np.ndarray, " adjectives"]
    adjective: Integer[np.ndarray, " adjectives"]
    direction_of: Integer[np.ndarray, " directions"]
    direction: Integer[np.ndarray, " directions"]
    adjectives: tuple[str, ...]
    directions: tuple[str, ...]
    unread: Integer[np.ndarray, " unread"]


def encode_studies(annotations: Sequence[Annotation], config: ScoreConfig | None = None) -> EncodedStudies:
    """Encode annotation records; `encode_table` does the same from an Arrow table without making records.

    Raises:
        TableError: a study id occurs twice, or an assertion is none of present, uncertain, absent.
    """
    config = config or ScoreConfig()
    ids = tuple(a.study_id for a in annotations)
    check_unique(ids, table="annotations")
    rank = {name: i for i, name in enumerate(config.diseases)}
    study: list[int] = []
    disease: list[int] = []
    items: dict[str, tuple[list[int], list[str]]] = {"adjectives": ([], []), "directions": ([], [])}
    for row, annotation in enumerate(annotations):
        for finding in annotation.findings:
            if finding.assertion not in ASSERTIONS:
                raise TableError(f"study {annotation.study_id!r}: unknown assertion {finding.assertion!r}")
            if finding.assertion not in config.assertions or finding.disease not in rank:
                continue
            for name, (owner, word) in items.items():
                words = getattr(finding, name)
                owner += [len(study)] * len(words)
                word += words
            study.append(row)
            disease.append(rank[finding.disease])
    vocabularies = {name: tuple(sorted(set(words))) for name, (_, words) in items.items()}
    codes = {name: {word: i for i, word in enumerate(words)} for name, words in vocabularies.items()}
    packed = {
        name: (_ints(owner), _ints([codes[name][word] for word in words])) for name, (owner, words) in items.items()
    }
    flat = FlatFindings(
        _ints(study),
        _ints(disease),
        *packed["adjectives"],
        *packed["directions"],
        adjectives=vocabularies["adjectives"],
        directions=vocabularies["directions"],
        unread=_ints([row for row, annotation in enumerate(annotations) if not annotation.read]),
    )
    return encode_flat(ids, flat, config)


def encode_flat(study_ids: tuple[str, ...], flat: FlatFindings, config: ScoreConfig) -> EncodedStudies:
    """Unite the findings of one disease, then keep each distinct annotation once."""
    studies, diseases = len(study_ids), len(config.diseases)
    key = flat.study * diseases + flat.disease
    cells, cell_of = np.unique(key, return_inverse=True)
    rows, columns = np.divmod(cells, diseases)

    def codes(owner: np.ndarray, words: np.ndarray, vocabulary: tuple[str, ...]) -> tuple[np.ndarray, SetTable]:
        masks = pack(cell_of[owner], words, count=len(cells), vocabulary=len(vocabulary))
        groups = distinct_rows(masks)
        matrix = np.full((studies, diseases), ABSENT, np.int32)
        matrix[rows, columns] = groups.inverse
        return matrix, SetTable(masks[groups.first], vocabulary)

    adjective_codes, adjective_sets = codes(flat.adjective_of, flat.adjective, flat.adjectives)
    direction_codes, direction_sets = codes(flat.direction_of, flat.direction, flat.directions)
    unread = np.zeros((studies, 1), np.int32)
    unread[flat.unread[(adjective_codes[flat.unread] == ABSENT).all(axis=1)]] = config.unread == "apart"
    distinct = distinct_rows(np.concatenate([adjective_codes, direction_codes, unread], axis=1))
    adjective_codes, direction_codes = adjective_codes[distinct.first], direction_codes[distinct.first]
    has = np.concatenate([adjective_codes != ABSENT, unread[distinct.first] == 1], axis=1)
    owner, members = np.nonzero(has)
    masks = pack(owner, members, count=len(distinct.first), vocabulary=diseases + 1)
    groups = distinct_rows(masks)
    return EncodedStudies(
        study_ids=study_ids,
        config=config,
        inverse=distinct.inverse,
        disease_codes=groups.inverse,
        adjective_codes=adjective_codes,
        direction_codes=direction_codes,
        disease_sets=SetTable(masks[groups.first], (*config.diseases, NOT_READ)),
        adjective_sets=adjective_sets,
        direction_sets=direction_sets,
    )


def _ints(values: list[int]) -> Integer[np.ndarray, " values"]:
    return np.array(values, np.int64)


def check_corpus(encoded: EncodedStudies, *, least: int) -> None:
    """Raise a `MiningError` for a corpus too small for a triplet, or one in which all studies are alike."""
    if len(encoded) < least:
        raise MiningError(
            f"the corpus holds {len(encoded)} study(ies); a triplet needs {least}: anchor, positive and negative"
        )
    if encoded.distinct == 1:
        what = "normal (no counted disease)" if encoded.is_normal.all() else "annotated alike"
        raise MiningError(f"all {len(encoded)} studies are {what}: nothing tells a positive from a negative")
