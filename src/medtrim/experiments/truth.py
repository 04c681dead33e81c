"""What a corpus is judged against: the drawn findings of phantoms, or what the recogniser reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medtrim.evaluation import annotations_of_column
from medtrim.evaluation.agreement import DiseaseState, disease_states
from medtrim.types import DISEASES, Annotation
from medtrim.types.tables import read_annotations

TRUTH = "truth"


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Shares of reports from which the recogniser reads the drawn diseases, and those with every descriptor."""

    diseases: float
    descriptors: float
    studies: int


def read_truth(studies: Path, annotations: Path, *, drawn: bool) -> list[Annotation]:
    """The reference annotations of a corpus.

    Phantoms carry what was drawn in their column `truth`; it is an input of no method. Where nobody knows the
    truth, it is what the recogniser reads in the reports.

    Raises:
        TableError: phantoms without the column.
    """
    if not drawn:
        return read_annotations(annotations)
    return annotations_of_column(studies, TRUTH)


def fidelity(read: Sequence[Annotation], drawn: Sequence[Annotation]) -> Fidelity:
    """How faithfully `read` gives back `drawn`, matched by study, over the diseases of the label set."""
    by_id = {a.study_id: a for a in read}
    pairs = [(_states(by_id[d.study_id]), _states(d)) for d in drawn if d.study_id in by_id]
    if not pairs:
        return Fidelity(float("nan"), float("nan"), 0)
    same = sum({s.disease for s in ours} == {s.disease for s in theirs} for ours, theirs in pairs)
    exact = sum(
        {(s.disease, s.descriptors) for s in ours} == {(s.disease, s.descriptors) for s in theirs}
        for ours, theirs in pairs
    )
    return Fidelity(same / len(pairs), exact / len(pairs), len(pairs))


def _states(annotation: Annotation) -> list[DiseaseState]:
    return [s for s in disease_states(annotation.findings) if s.disease in DISEASES]
