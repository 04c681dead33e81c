"""How alike two studies are: the meta-entity score by study id or from two report texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medtrim.entities import Recognizer, split_sections
from medtrim.errors import ConfigError, TableError
from medtrim.mining.recipe import read_recipe
from medtrim.mining.similarity import ScoreConfig, ScoreExplanation, encode_studies
from medtrim.mining.similarity import explain_score as explain
from medtrim.mining.similarity import score_matrix as scores_of_rows
from medtrim.types import Annotation, Study
from medtrim.types.sources import AnnotationSource, load_annotations
from medtrim.types.tables import shown_ids


@dataclass(frozen=True, eq=False, repr=False)
class ScoreMatrix:
    """S(anchor, reference) for anchors × references.

    `matrix["a", "b"]` is one score by study ids; `np.asarray(matrix)` are all of them.

    Attributes:
        anchors, references: study ids of the rows and of the columns.
        values: float64 [anchors, references], from 0 to the sum of the weights (1 by default).
    """

    anchors: tuple[str, ...]
    references: tuple[str, ...]
    values: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<ScoreMatrix of {len(self.anchors)} anchors × {len(self.references)} references>"

    def __getitem__(self, pair: tuple[str, str]) -> float:
        anchor, reference = pair
        for study_id, ids in ((anchor, self.anchors), (reference, self.references)):
            if study_id not in ids:
                raise TableError(f"study {study_id!r} is not among {shown_ids(ids)}")
        return float(self.values[self.anchors.index(anchor), self.references.index(reference)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)


def score_config(score: Mapping[str, Any] | None) -> ScoreConfig:
    """The score's configuration from plain data.

    Raises:
        ConfigError: an unknown key or a value out of range.
    """
    return read_recipe({"score": dict(score or {})}, source="score").score


def score_matrix(
    annotations: AnnotationSource,
    *,
    anchors: Sequence[str] | None = None,
    references: Sequence[str] | None = None,
    score: Mapping[str, Any] | None = None,
) -> ScoreMatrix:
    """The meta-entity score S of study pairs (arXiv:2504.15929; docs/mining.md has the equation).

    Args:
        annotations: an annotations table, its path, or records.
        anchors, references: study ids of the rows and the columns; all studies where None.
        score: `{"mode": "faithful" | "symmetric", "weights": {"disease": …, "adjective": …, "direction": …},
            "diseases": […], "assertions": […]}`, as far as it differs from the defaults.

    Raises:
        TableError: an id is not annotated. ConfigError: an unknown key of `score`.

    Examples:
        >>> import medtrim
        >>> reports = ["Small left effusion.", "Large left effusion.", "Clear."]
        >>> found = medtrim.annotate(reports, study_ids=["a", "b", "c"])
        >>> scores = medtrim.score_matrix(found)
        >>> scores["a", "a"], scores["a", "b"], scores["a", "c"]
        (1.0, 0.9, 0.0)
    """
    encoded = encode_studies(load_annotations(annotations).annotations, score_config(score))
    rows, columns = (None if ids is None else encoded.index_of(list(ids)) for ids in (anchors, references))
    return ScoreMatrix(
        tuple(anchors) if anchors is not None else encoded.study_ids,
        tuple(references) if references is not None else encoded.study_ids,
        scores_of_rows(encoded, rows, columns),
    )


def explain_score(
    anchor: str | Annotation,
    reference: str | Annotation,
    annotations: AnnotationSource | None = None,
    *,
    score: Mapping[str, Any] | None = None,
) -> ScoreExplanation:
    """S(anchor, reference) with every part named: shared diseases, descriptors and their Jaccard indices.

    Args:
        anchor, reference: with `annotations`, two study ids; without, two report texts or Annotation records.
        annotations: an annotations table, its path, or records that hold both studies.
        score: as `medtrim.score_matrix` takes it.

    Raises:
        TableError: a study id is not annotated. ConfigError: an unknown key of `score`, or a record beside
            `annotations`.

    Examples:
        >>> import medtrim
        >>> why = medtrim.explain_score("Small left pleural effusion.", "Small right pleural effusion.")
        >>> round(why.score, 3), why.shared[0].anchor_directions, why.shared[0].reference_directions
        (0.95, ('left',), ('right',))
    """
    config = score_config(score)
    if annotations is None:
        recognizer = Recognizer()
        return explain(_read(anchor, "anchor", recognizer), _read(reference, "reference", recognizer), config)
    known = {a.study_id: a for a in load_annotations(annotations).annotations}
    if isinstance(anchor, Annotation) or isinstance(reference, Annotation):
        raise ConfigError("with annotations, anchor and reference are study ids; records are given without them")
    missing = [study_id for study_id in (anchor, reference) if study_id not in known]
    if missing:
        raise TableError(f"not among the {len(known)} annotated studies: {shown_ids(missing)}")
    return explain(known[anchor], known[reference], config)


def _read(report: str | Annotation, role: str, recognizer: Recognizer) -> Annotation:
    if isinstance(report, Annotation):
        return report
    sections = split_sections(report)
    return recognizer.annotate(Study(role, "", findings=sections.findings, impression=sections.impression))
