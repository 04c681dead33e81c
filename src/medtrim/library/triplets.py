"""Mined triplets by study id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medtrim.errors import ConfigError, TableError
from medtrim.library.scores import score_config
from medtrim.mining.batch import BatchConfig, mine_batch
from medtrim.mining.encoding import EncodedStudies
from medtrim.mining.mine_corpus import mine
from medtrim.mining.recipe import read_recipe
from medtrim.mining.similarity import encode_studies
from medtrim.mining.similarity import score_matrix as scores_of_rows
from medtrim.mining.triplets import MinedTriplets
from medtrim.types import Provenance, Triplet
from medtrim.types.settings import nearest
from medtrim.types.sources import AnnotationSource, LoadedAnnotations, load_annotations
from medtrim.types.tables import check_unique, write_table

METHODS = ("pool", "corpus", "batch")


@dataclass(frozen=True, eq=False)
class BatchTriplets:
    """The triplets that lie within a batch of studies.

    Attributes:
        study_ids: of the batch, in its order.
        indices: int64 [T, 3]: places in `study_ids` of anchor, positive and negative.
    """

    study_ids: tuple[str, ...]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, eq=False, repr=False)
class StudyTriplets:
    """Mined triplets (anchor, positive, negative) of studies.

    `len(triplets)` is their number T, iterating gives `Triplet` records with study ids, and `triplets[batch_ids]`
    those within a batch, with indices into it.

    Attributes:
        study_ids: of the studies that were mined, in the order of the annotations.
        mined: scores, kinds of negatives and counts, as the miner gave them.
        provenance: of the triplets table: miner, options, seed, ontology.
    """

    study_ids: tuple[str, ...]
    mined: MinedTriplets
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.mined)

    def __repr__(self) -> str:
        return f"<StudyTriplets: {len(self):,} of {len(self.study_ids):,} studies>"

    def __iter__(self) -> Iterator[Triplet]:
        for row in self.to_table().to_pylist():
            yield Triplet(*(row[name] for name in Triplet.__dataclass_fields__))

    def __getitem__(self, study_ids: Sequence[str]) -> BatchTriplets:
        """The triplets of which all three studies are in the batch `study_ids`.

        Raises:
            TableError: an id was not mined, or repeats within the batch.
        """
        if isinstance(study_ids, str):
            raise TableError("triplets[study_ids] takes a list of study ids, not one text")
        ids = tuple(study_ids)
        check_unique(ids, table="batch")
        unknown = [i for i in ids if i not in self._row]
        if unknown:
            raise TableError(f"{len(unknown)} of {len(ids)} studies were not mined, the first is {unknown[0]!r}")
        place = np.full(len(self.study_ids), -1, np.int64)
        place[[self._row[i] for i in ids]] = np.arange(len(ids))
        placed = place[self.corpus_indices]
        return BatchTriplets(ids, placed[(placed >= 0).all(axis=1)])

    @property
    def corpus_indices(self) -> NDArray[np.int64]:
        """int64 [T, 3]: places in `self.study_ids` (not in a batch) of anchor, positive and negative."""
        return self.mined.indices.astype(np.int64)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {study_id: row for row, study_id in enumerate(self.study_ids)}

    def to_table(self) -> pa.Table:
        """`anchor, positive, negative` (study ids), `positive_score, negative_score` and `negative_kind`."""
        return self.mined.to_table(self.study_ids)

    def write(self, path: Path | str) -> None:
        """Write the triplets table (Parquet) that `medtrim.train` and `medtrim audit` take."""
        write_table(self.to_table(), path, self.provenance)


def mine_triplets(
    annotations: AnnotationSource,
    method: str = "pool",
    *,
    study_ids: Sequence[str] | None = None,
    patients: Mapping[str, str] | None = None,
    score: Mapping[str, Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> StudyTriplets:
    """Triplets (anchor, positive, negative) of studies by the similarity of their reports.

    Args:
        annotations: an annotations table, its path, or records.
        method: `pool`, the published miner (mini-pools drawn at random; `iterations=40000` by default gives over a
            million triplets); `corpus`, exact over all studies, an anchor each; `batch`, all admissible triplets
            among the studies, as within one training batch (up to a few thousand studies).
        study_ids: mine among these alone, such as those of the training split; all where None.
        patients: study id → patient id, for `other_patients=True` of the corpus miner.
        score: as `medtrim.score_matrix` takes it.
        seed: of every random choice.
        options: the miner's own; docs/mining.md lists them.

    Raises:
        ConfigError: an unknown method, option or key of `score`, or a value out of range.
        MiningError: fewer than three studies, or none gives a triplet.
        TableError: a study id is not annotated, or a study has no patient.

    Examples:
        >>> import medtrim
        >>> texts = ["Small left effusion.", "Small left effusion.", "Large right effusion.", "Fracture.", "Clear."]
        >>> found = medtrim.annotate(texts, study_ids=list("abcde"))
        >>> triplets = medtrim.mine_triplets(found, method="corpus", strategy="hardest")
        >>> next(iter(triplets)).anchor, next(iter(triplets)).positive
        ('a', 'b')
        >>> triplets[["b", "a", "d", "e"]].indices[0].tolist()  # places in this batch
        [1, 0, 2]
    """
    if method not in METHODS:
        raise ConfigError(f"there is no method {method!r}{nearest(method, METHODS)}")
    loaded = load_annotations(annotations)
    encoded = _encode(loaded, study_ids, score)
    if method == "batch":
        config = _batch_config(options)
        scores = scores_of_rows(encoded)
        mined = mine_batch(scores, config, rng=np.random.default_rng(seed))
        recipe = {**config.to_dict(), "score": encoded.config.to_dict()}
    else:
        chosen = read_recipe({"miner": method, **options, "score": dict(score or {})}, source="mine_triplets")
        recipe = chosen.to_dict()
        mined = mine(
            encoded,
            chosen.options,
            seed=seed,
            patients=_numbers(patients, encoded.study_ids) if patients is not None and method == "corpus" else None,
            contradictions=loaded.contradictions,
        )
    axes = {axis: dict(levels) for axis, levels in loaded.contradictions.axes.items()}
    extra = {"counts": dict(mined.counts), "studies": len(encoded), "contradictions": axes}
    ontology = loaded.provenance.ontology if loaded.provenance else None
    return StudyTriplets(encoded.study_ids, mined, Provenance("triplets", recipe, seed, ontology, extra))


def _encode(
    loaded: LoadedAnnotations, study_ids: Sequence[str] | None, score: Mapping[str, Any] | None
) -> EncodedStudies:
    kept = loaded.annotations
    if study_ids is not None:
        known = {a.study_id: a for a in kept}
        unknown = [s for s in study_ids if s not in known]
        if unknown:
            raise TableError(f"{len(unknown)} studies are not annotated, the first is {unknown[0]!r}")
        kept = tuple(known[s] for s in study_ids)
    return encode_studies(kept, score_config(score))


def _numbers(patients: Mapping[str, str], study_ids: Sequence[str]) -> NDArray[np.int64]:
    """A number for the patient of each study."""
    without = [s for s in study_ids if not patients.get(s)]
    if without:
        raise TableError(f"{len(without)} studies without a patient, the first is {without[0]!r}")
    return np.unique([patients[s] for s in study_ids], return_inverse=True)[1].astype(np.int64)


def _batch_config(options: Mapping[str, Any]) -> BatchConfig:
    allowed = list(BatchConfig.__dataclass_fields__)
    for name in options:
        if name not in allowed:
            raise ConfigError(f"mine_triplets: unknown option {name!r}{nearest(name, allowed)}")
    return BatchConfig(**options)
