"""What an evaluation measures and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medtrim.evaluation.linear_probe import FRACTIONS
from medtrim.evaluation.retrieval import DIRECTIONS
from medtrim.evaluation.zero_shot import MIN_COUNT
from medtrim.types import DEFAULT_CONTRADICTIONS, DISEASES, Contradictions


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure and how.

    Attributes:
        resamples, seed: of the bootstrap; the seed also draws the probes' training patients.
        zero_shot, probes: whether to classify.
        probe_fractions, probe_repeats: shares of the training patients, and draws of each share below 1.
        min_count: a label is evaluated where this many studies have it and as many do not.
        diseases: those that count, in retrieval and as labels.
        contradictions: of descriptors, as the annotations' ontology has them.
        merge_reports: in instance retrieval, count reports with identical text as one: a text stands in the gallery
            once, and a text has found its own with the image of any study that has it.
        prior: λ of `report_prior`, in [0, 1]: how much the frequency of a reading counts where images look for
            reports.
    """

    directions: Sequence[str] = DIRECTIONS
    resamples: int = 1000
    seed: int = 0
    zero_shot: bool = True
    probes: bool = True
    probe_fractions: Sequence[float] = FRACTIONS
    probe_repeats: int = 3
    min_count: int = MIN_COUNT
    diseases: Sequence[str] = DISEASES
    contradictions: Contradictions = DEFAULT_CONTRADICTIONS
    merge_reports: bool = False
    prior: float = 0.0
    batch_size: int = 64
