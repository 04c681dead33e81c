"""Patient-level bootstrap: patients are drawn with replacement, and with a patient all of its studies.

Rankings are not recomputed: a resample is a weight for each patient, and every statistic comes from weighted sums
over studies, as queries and, in retrieval, as parts of the gallery (`evaluation.gallery`). Two evaluations with the
same patients, seed and number of resamples use the same weights, so the difference of their replicates is a paired
bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Integer

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.gallery import GalleryEffect

Replicates = Float64[np.ndarray, " resamples"]
# Of every interval.
LEVEL = 0.95
# Of studies in resamples that are held at a time.
WEIGHTS = 1 << 22


class Interval(NamedTuple):
    """Central interval of a statistic's replicates; NaN where no resample defines it."""

    low: float
    high: float


class PatientBootstrap:
    """Weights of `studies` in each resample.

    Args:
        patient_ids: the patient of each study, in the order in which values will be given.
        resamples: number of resamples B.
        seed: of the draw. The weights depend on it, on B and on the *set* of patients alone.

    Raises:
        TableError: a patient id is empty. ConfigError: B is below 1.
    """

    def __init__(self, patient_ids: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> None:
        if resamples < 1:
            raise ConfigError(f"resamples must be at least 1, not {resamples}")
        if not all(patient_ids):
            raise TableError("a study without a patient id: intervals are by patient")
        patients = sorted(set(patient_ids))
        row = {patient: i for i, patient in enumerate(patients)}
        self.resamples = resamples
        self.patients = len(patients)
        self.patient_of: Integer[np.ndarray, " studies"] = np.array([row[p] for p in patient_ids], np.int64)
        rng = np.random.default_rng(seed)
        self.weights: Float64[np.ndarray, "resamples patients"] = np.zeros((resamples, self.patients))
        for counts in self.weights:
            draw = rng.integers(0, max(1, self.patients), size=self.patients)
            counts += np.bincount(draw, minlength=self.patients)

    @cached_property
    def _by_patient(self) -> Float32[np.ndarray, "patients resamples"]:
        """Weights by patient; counts are small whole numbers, so single precision is exact."""
        return np.ascontiguousarray(self.weights.T, dtype=np.float32)

    def patients_of(self, studies: Integer[np.ndarray, " chosen"]) -> int:
        """How many patients `studies` (rows) are of."""
        return len(np.unique(self.patient_of[studies]))

    def study_weights(self, studies: Integer[np.ndarray, " chosen"]) -> Float32[np.ndarray, "chosen resamples"]:
        """How often each of `studies` (rows) is in each resample."""
        return np.asarray(self._by_patient[self.patient_of[studies]])

    def weight_blocks(
        self, studies: Integer[np.ndarray, " chosen"]
    ) -> Iterator[Float32[np.ndarray, "chosen resamples"]]:
        """`study_weights`, some resamples at a time: 16 MiB a block, however many studies there are."""
        patients = self.patient_of[studies]
        count = -(-self.resamples * max(1, len(studies)) // WEIGHTS)
        for some in np.array_split(np.arange(self.resamples), min(count, max(1, self.resamples // 2))):
            yield np.asarray(self._by_patient[patients, some[0] : some[-1] + 1])

    def sums(
        self, values: Float64[np.ndarray, "chosen columns"], studies: Integer[np.ndarray, " chosen"]
    ) -> Float64[np.ndarray, "resamples columns"]:
        """Weighted sums of `values` over `studies`, added up by patient first."""
        by_patient = np.zeros((self.patients, values.shape[1]))
        np.add.at(by_patient, self.patient_of[studies], values)
        return np.asarray(self.weights @ by_patient)

    def ratio(
        self,
        numerator: Float64[np.ndarray, " chosen"],
        denominator: Float64[np.ndarray, " chosen"],
        studies: Integer[np.ndarray, " chosen"],
        *,
        gallery: GalleryEffect | None = None,
    ) -> Replicates:
        """Replicates of Σ numerator / Σ denominator; a mean where the denominator is 1. NaN where it is 0.

        With w_p the times that patient p is drawn, both sums are Σ_p w_p (its queries) + Σ_p (w_p − 1) (what its
        studies add as part of the `gallery`). The replicates then stay within [0, 1], as retrieval figures do.
        """
        top, bottom = self.sums(np.stack([numerator, denominator], axis=1), studies).T
        if gallery is not None:
            effects = np.stack([gallery.numerator, gallery.denominator], axis=1)
            everywhere = np.arange(len(self.patient_of))
            more = self.sums(effects, everywhere) - effects.sum(axis=0)
            top, bottom = top + more[:, 0], bottom + more[:, 1]
            top = np.clip(top, 0.0, np.maximum(bottom, 0.0))
        return np.asarray(np.divide(top, bottom, out=np.full(self.resamples, np.nan), where=bottom > 0))

    def median(self, values: Float64[np.ndarray, " chosen"], studies: Integer[np.ndarray, " chosen"]) -> Replicates:
        """Replicates of the lower median: the smallest value that at least half of the weight does not exceed."""
        if not len(values):
            return np.full(self.resamples, np.nan)
        order = np.argsort(values, kind="stable")
        medians = []
        for weights in self.weight_blocks(studies[order]):
            cumulated = np.cumsum(weights, axis=0)
            place = (cumulated < cumulated[-1] / 2).sum(axis=0)
            found = values[order][np.minimum(place, len(values) - 1)]
            medians.append(np.where(cumulated[-1] > 0, found, np.nan))
        return np.concatenate(medians)


def interval(replicates: Replicates) -> Interval:
    """The percentile interval of `replicates` that are defined; NaN where none is."""
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(defined, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(low), float(high))


def lower_median(values: Float64[np.ndarray, " values"]) -> float:
    """The smallest value that at least half of `values` do not exceed; NaN without values."""
    return float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else float("nan")
