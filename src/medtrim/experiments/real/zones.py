"""Do images that a model finds alike also look alike to radiologists? Agreement with six zone scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medtrim.data import ImageCache
from medtrim.evaluation import Figure, PatientBootstrap, make_reference
from medtrim.evaluation.figures import figure_of, mean_values
from medtrim.evaluation.ranking import similarities, unit
from medtrim.experiments.real.cohort import LEFT, RIGHT
from medtrim.experiments.real.folds import Folds
from medtrim.experiments.real.ordering import by_query

Floats = NDArray[np.float64]
TASK = "zones"
TARGETS = ("zones", "side", "severity")
MEASURES = ("concordance", "spearman")


def zone_similarity(zones: Floats, target: str) -> Floats:
    """How alike the zone scores of each pair of images are; 0 is the same, less is less alike.

    zones: −Σ_z |a_z − b_z|. side: −|(right − left)_a − (right − left)_b|. severity: −|Σ a − Σ b|.
    """
    right, left = zones[:, RIGHT].sum(axis=1), zones[:, LEFT].sum(axis=1)
    features = {"zones": zones, "side": (right - left)[:, None], "severity": (right + left)[:, None]}[target]
    return np.asarray(-np.abs(features[:, None, :] - features[None, :, :]).sum(axis=2))


class ZoneJudge:
    """Judges similarities of the zone-scored images, fold by fold, images of other patients only."""

    def __init__(self, folds: Folds, *, resamples: int, seed: int) -> None:
        self.folds = folds
        self.rows = {s.study_id: i for i, s in enumerate(folds.zoned)}
        self.bootstrap = PatientBootstrap([s.patient_id for s in folds.zoned], resamples=resamples, seed=seed)
        self.zones = folds.cohort.zones[list(folds.zone_rows)]

    def members(self, fold: int) -> list[int]:
        """Rows of the images of a fold."""
        return [i for i, s in enumerate(self.folds.zoned) if s.split == str(fold)]

    def figures(self, similarity: Sequence[Floats]) -> list[Figure]:
        """Agreement with each target, mean over the images as queries.

        Args:
            similarity: for each fold, [images images] in the order of `members`.
        """
        found = []
        for target in TARGETS:
            for measure in MEASURES:
                values, rows = [], []
                for fold, scores in enumerate(similarity):
                    chosen = self.members(fold)
                    patients = np.array([self.folds.zoned[i].patient_id for i in chosen])
                    others = patients[:, None] != patients[None, :]
                    values.append(by_query(measure, scores, zone_similarity(self.zones[chosen], target), others))
                    rows += chosen
                whole = mean_values(measure, np.concatenate(values))
                at = np.array(rows, np.int64)
                found.append(
                    figure_of(whole, at, self.bootstrap, direction="i2i", group=target, own_in_gallery=False)
                )
        return found

    def by_vectors(self, vectors: Sequence[NDArray[np.floating]]) -> list[Figure]:
        """`figures` of the cosine of each fold's vectors."""
        sides = [unit(np.asarray(v)) for v in vectors]
        return self.figures([similarities(v, v) for v in sides])

    def by_pixels(self) -> list[Figure]:
        """The correlation of the small images themselves: what no network has to learn."""
        cache = ImageCache(self.folds.cache)
        vectors = []
        for fold in range(self.folds.count):
            pixels = cache[cache.rows([self.folds.zoned[i].study_id for i in self.members(fold)])]
            flat = pixels.reshape(len(pixels), -1).astype(np.float64)
            vectors.append(flat - flat.mean(axis=1, keepdims=True))
        return self.by_vectors(vectors)

    def by_notes(self) -> list[Figure]:
        """The meta-entity score of the notes: what alignment with them could teach at best.

        An image whose note was left out is like no other.
        """
        reference = make_reference(self.folds.annotations)
        place = {study_id: row for row, study_id in enumerate(reference.study_ids)}
        scores = []
        for fold in range(self.folds.count):
            rows = [place.get(str(self.folds.zoned[i].labels["study"]), -1) for i in self.members(fold)]
            known = np.array([row >= 0 for row in rows])
            gains = reference.gains(np.arange(len(reference)))[np.ix_(rows, rows)]
            scores.append(np.where(known[:, None] & known[None, :], gains, 0.0))
        return self.figures(scores)
