"""Studies as bit masks: what the score needs of each annotation, kept once per distinct annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from medtrim.errors import MiningError, TableError
from medtrim.mining.coded import CodedFindings, code_annotations
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


def encode_studies(annotations: Sequence[Annotation], config: ScoreConfig | None = None) -> EncodedStudies:
    """Encode annotation records, or the rows of an annotations table without making records.

    Raises:
        TableError: a study id occurs twice, or an assertion is none of present, uncertain, absent.
    """
    return encode_findings(code_annotations(annotations), config or ScoreConfig())


def encode_findings(coded: CodedFindings, config: ScoreConfig) -> EncodedStudies:
    """Unite the counted findings of one disease, then keep each distinct annotation once.

    Raises:
        TableError: as `encode_studies`.
    """
    ids = tuple(coded.study_ids.to_pylist())
    check_unique(ids, table="annotations")
    assertions = coded.words["assertion"]
    found, first = np.unique(coded.assertion, return_index=True)
    for code, place in zip(found, first, strict=True):
        if assertions[code] not in ASSERTIONS:
            raise TableError(
                f"annotations: study {ids[coded.study[place]]!r}: unknown assertion {assertions[code]!r}"
            )
    studies, diseases = len(ids), len(config.diseases)
    rank = {name: i for i, name in enumerate(config.diseases)}
    disease = np.array([rank.get(name, -1) for name in coded.words["disease"]], np.int64)[coded.disease]
    stated = np.array([a in config.assertions for a in assertions], bool)[coded.assertion]
    counted = np.flatnonzero(stated & (disease >= 0))
    cells, inverse = np.unique(
        coded.study[counted].astype(np.int64) * diseases + disease[counted], return_inverse=True
    )
    rows, columns = np.divmod(cells, diseases)
    cell_of = np.full(len(disease), ABSENT, np.int64)
    cell_of[counted] = inverse

    def codes(part: str) -> tuple[np.ndarray, SetTable]:
        owner, words, vocabulary = _descriptors(coded, part, cell_of)
        masks = pack(owner, words, count=len(cells), vocabulary=len(vocabulary))
        groups = distinct_rows(masks)
        matrix = np.full((studies, diseases), ABSENT, np.int32)
        matrix[rows, columns] = groups.inverse
        return matrix, SetTable(masks[groups.first], vocabulary)

    adjective_codes, adjective_sets = codes("adjectives")
    direction_codes, direction_sets = codes("directions")
    unread = (~coded.read & (adjective_codes == ABSENT).all(axis=1) & (config.unread == "apart"))[:, None]
    distinct = distinct_rows(np.concatenate([adjective_codes, direction_codes, unread], axis=1))
    adjective_codes, direction_codes = adjective_codes[distinct.first], direction_codes[distinct.first]
    has = np.concatenate([adjective_codes != ABSENT, unread[distinct.first]], axis=1)
    owner, members = np.nonzero(has)
    masks = pack(owner, members, count=len(distinct.first), vocabulary=diseases + 1)
    groups = distinct_rows(masks)
    return EncodedStudies(
        study_ids=ids,
        config=config,
        inverse=distinct.inverse,
        disease_codes=groups.inverse,
        adjective_codes=adjective_codes,
        direction_codes=direction_codes,
        disease_sets=SetTable(masks[groups.first], (*config.diseases, NOT_READ)),
        adjective_sets=adjective_sets,
        direction_sets=direction_sets,
    )


def _descriptors(
    coded: CodedFindings, part: str, cell_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Cell and code of each descriptor of the counted findings, with the words, in order."""
    owner = cell_of[coded.owners[part]]
    kept = np.flatnonzero(owner != ABSENT)
    found, codes = np.unique(coded.codes[part][kept], return_inverse=True)
    words = [coded.words[part][code] for code in found]
    order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words))
    return owner[kept], rank[codes], tuple(words[i] for i in order)


def check_corpus(encoded: EncodedStudies, *, least: int) -> None:
    """Raise a `MiningError` for a corpus too small for a triplet, or one in which all studies are alike."""
    if len(encoded) < least:
        raise MiningError(
            f"the corpus holds {len(encoded)} study(ies); a triplet needs {least}: anchor, positive and negative"
        )
    if encoded.distinct == 1:
        what = "normal (no counted disease)" if encoded.is_normal.all() else "annotated alike"
        raise MiningError(f"all {len(encoded)} studies are {what}: nothing tells a positive from a negative")
