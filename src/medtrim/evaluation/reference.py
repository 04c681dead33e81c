"""What the truth says about pairs of studies: same diseases, same descriptors, conflicts in side or severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Integer

from medtrim.mining.coded import CodedFindings, code_annotations
from medtrim.mining.reading import encode_coded
from medtrim.mining.similarity import EncodedStudies, ScoreConfig, similarity_terms
from medtrim.types import DEFAULT_CONTRADICTIONS, DISEASES, Annotation, Contradictions


@dataclass(frozen=True)
class Reference:
    """The truth about N studies, in the order of their ids.

    Attributes:
        study_ids: sorted, so that a lower row is a smaller id: ranking breaks ties by row.
        encoded: for the score.
        disease_set: code of each study's disease set; equal codes are equal sets.
        fine: code of each study's disease set with its adjectives and directions by disease.
        is_normal: no counted disease.
        has: which disease each study has, columns as `diseases`.
        levels: axis → bit mask of the levels that each study's descriptors name, by disease.
    """

    study_ids: tuple[str, ...]
    encoded: EncodedStudies
    disease_set: Integer[np.ndarray, " studies"]
    fine: Integer[np.ndarray, " studies"]
    is_normal: Bool[np.ndarray, " studies"]
    has: Bool[np.ndarray, "studies diseases"]
    levels: dict[str, Integer[np.ndarray, "studies diseases"]]

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    def diseases(self) -> tuple[str, ...]:
        """Names of the columns of `has`."""
        return self.encoded.config.diseases

    def gains(
        self, queries: Integer[np.ndarray, " queries"], others: Integer[np.ndarray, " others"] | None = None
    ) -> Float64[np.ndarray, "queries others"]:
        """The symmetric score S of `queries` against `others` (rows; all when None)."""
        return similarity_terms(self.encoded, queries, others).score(self.encoded.config.weights)

    def shares_disease(
        self, queries: Integer[np.ndarray, " queries"], retrieved: Integer[np.ndarray, "queries k"]
    ) -> Bool[np.ndarray, "queries k"]:
        """Whether each retrieved study has a disease in common with its query."""
        return np.asarray((self.has[queries][:, None, :] & self.has[retrieved]).any(axis=2))

    def conflicts(
        self, axis: str, queries: Integer[np.ndarray, " queries"], retrieved: Integer[np.ndarray, "queries k"]
    ) -> Bool[np.ndarray, "queries k"]:
        """Whether a shared disease has descriptors that contradict each other on `axis`.

        Two descriptor sets conflict when both name a level of the axis and have none in common. On an axis that the
        ontology does not have nothing does.
        """
        if axis not in self.levels:
            return np.zeros(retrieved.shape, bool)
        ours, theirs = self.levels[axis][queries][:, None, :], self.levels[axis][retrieved]
        return np.asarray(((ours != 0) & (theirs != 0) & ((ours & theirs) == 0)).any(axis=2))


def make_reference(
    annotations: Sequence[Annotation],
    *,
    diseases: Sequence[str] = DISEASES,
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS,
) -> Reference:
    """The truth of `annotations`, sorted by study id.

    Findings that are present or uncertain count; a disease's descriptors are united over its findings.

    Raises:
        TableError: a study id repeats.
    """
    config = ScoreConfig(mode="symmetric", diseases=tuple(diseases))
    coded = code_annotations(annotations)
    coded = coded.take(pc.sort_indices(coded.study_ids).to_numpy())
    encoded = encode_coded(coded, coded.study_ids.to_pylist(), config)
    return Reference(
        study_ids=encoded.study_ids,
        encoded=encoded,
        disease_set=encoded.disease_codes[encoded.inverse],
        fine=encoded.inverse,
        is_normal=encoded.is_normal,
        has=encoded.has[encoded.inverse],
        levels={axis: _levels(coded, axis, config, contradictions) for axis in contradictions.axes},
    )


def _levels(
    coded: CodedFindings, axis: str, config: ScoreConfig, contradictions: Contradictions
) -> Integer[np.ndarray, "studies diseases"]:
    column = {disease: i for i, disease in enumerate(config.diseases)}
    columns = np.array([column.get(word, -1) for word in coded.words["disease"]], np.int64)
    counted = np.array([word in config.assertions for word in coded.words["assertion"]], bool)
    masks = np.zeros((len(coded), len(column)), np.int64)
    for name, owner in coded.owners.items():
        bits = np.array(
            [sum(1 << level for level in set(contradictions.levels(axis, (word,)))) for word in coded.words[name]],
            np.int64,
        )
        kept = (columns[coded.disease[owner]] >= 0) & counted[coded.assertion[owner]]
        finding = owner[kept]
        places = (coded.study[finding], columns[coded.disease[finding]])
        np.bitwise_or.at(masks, places, bits[coded.codes[name][kept]])
    return masks
