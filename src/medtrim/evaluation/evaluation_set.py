"""Embeddings, truth and patients of the same studies, matched by study id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medtrim.errors import EmbeddingsError, TableError
from medtrim.evaluation.embed import Embeddings
from medtrim.evaluation.options import EvaluationOptions
from medtrim.evaluation.reference import Reference, make_reference
from medtrim.types import Annotation
from medtrim.types.tables import annotation_table, shown_ids


@dataclass(frozen=True)
class EvaluationSet:
    """Studies to evaluate on: row i of the embeddings, of the truth and of `patients` is the same study.

    `align` makes one from parts in any order. `unread` names the studies that it left out since their reports were
    not read.

    Raises:
        EmbeddingsError: the study ids of embeddings and truth are not equal, in the same order.
        TableError: there is not one patient a study.
    """

    embeddings: Embeddings
    reference: Reference
    patients: tuple[str, ...]
    unread: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises where the parts do not belong together row by row."""
        if self.embeddings.study_ids != self.reference.study_ids:
            raise EmbeddingsError(
                f"embeddings of {len(self.embeddings)} studies and truth of {len(self.reference)} are not of the "
                "same studies in the same order; EvaluationSet.align matches them by study id"
            )
        if len(self.patients) != len(self.reference):
            raise TableError(f"{len(self.patients)} patients for {len(self.reference)} studies")

    @classmethod
    def align(
        cls,
        embeddings: Embeddings,
        annotations: Sequence[Annotation],
        patients: Mapping[str, str],
        *,
        options: EvaluationOptions | None = None,
    ) -> EvaluationSet:
        """Bring embeddings, truth and patients into one order, that of the sorted study ids.

        Annotations and patients of other studies are passed over. A study whose report was not read is left out
        (`unread` names it): its findings are unknown, and it does not count as normal.

        Raises:
            EmbeddingsError: an embedded study has no annotation. TableError: one has no patient.
        """
        options = options or EvaluationOptions()
        table = annotation_table(annotations)
        ids = pa.array(embeddings.study_ids, pa.string())
        rows = pc.index_in(ids, table.table["study_id"].combine_chunks())
        if missing := ids.filter(pc.is_null(rows)).to_pylist():
            raise EmbeddingsError(
                f"annotations: {len(missing)} of {len(embeddings)} embedded studies are not among the "
                f"{len(table)} annotated ones: {shown_ids(missing)}"
            )
        known = table.take(rows)
        read = known.take(np.flatnonzero(pc.fill_null(known.table["read"], True).to_numpy()))
        ordered = sorted(read.study_ids)
        if not ordered:
            raise EmbeddingsError("annotations: no report of the embedded studies was read")
        without = [s for s in ordered if not patients.get(s)]
        if without:
            raise TableError(f"{len(without)} embedded studies without a patient: {shown_ids(without)}")
        reference = make_reference(read, diseases=options.diseases, contradictions=options.contradictions)
        unread = tuple(sorted(set(embeddings.study_ids) - set(ordered)))
        return cls(embeddings.select(ordered), reference, tuple(patients[s] for s in ordered), unread)
