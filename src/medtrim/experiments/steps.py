"""The pipeline's stages that run in this process: corpus, annotations, triplets, image cache."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from medtrim.data import ImageCache
from medtrim.data.importing import ImportOptions, import_corpus, rejects_path
from medtrim.data.phantom import make_corpus
from medtrim.entities import annotate_corpus, load_ontology, split_sections
from medtrim.errors import MiningError, TableError
from medtrim.experiments.config import PhantomSource, PipelineConfig
from medtrim.experiments.layout import Layout
from medtrim.experiments.truth import fidelity, read_truth
from medtrim.mining.pool import PoolConfig, mine_pools
from medtrim.mining.similarity import encode_studies
from medtrim.types import Provenance, Reject, schemas
from medtrim.types.tables import (
    Progress,
    annotations_to_table,
    read_annotations,
    read_studies,
    read_table,
    rejects_to_table,
    triplets_to_table,
    write_table,
)

REJECTS_OF_CACHE = "cache.rejects.parquet"


def make_studies(config: PipelineConfig, layout: Layout, progress: Progress) -> dict[str, Any]:
    """Draw the phantoms, or read and check the user's studies; every patient in one split."""
    source = config.source
    if isinstance(source, PhantomSource):
        workers = os.cpu_count() or 1
        make_corpus(
            source.studies, layout.corpus, seed=config.seed, size=source.size, workers=workers, progress=progress
        )
        return {"rejects": 0}
    layout.corpus.mkdir(parents=True, exist_ok=True)
    options = ImportOptions(
        layout=source.layout,
        columns=dict(source.columns),
        patients=source.patients,  # type: ignore[arg-type]
        encoding=source.encoding,
        fractions=dict(source.fractions),
        seed=config.seed,
    )
    reading = import_corpus(
        source.path,
        layout.studies,
        split_sections=split_sections,
        image_root=source.image_root,
        options=options,
        progress=progress,
    )
    if not any(s.images for s in reading.studies):
        raise TableError(f"{source.path.name}: no study has an image; name the column with --column images=COLUMN")
    return {"rejects": len(reading.rejects)}


def annotate(config: PipelineConfig, layout: Layout, progress: Progress) -> dict[str, Any]:
    """Read the findings of every report; on phantoms also count how faithfully the drawn ones come back."""
    ontology = load_ontology()
    studies = read_studies(layout.studies)
    annotations = list(annotate_corpus(studies, ontology=ontology, progress=progress))
    axes = {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()}
    provenance = Provenance("annotations", ontology=ontology.ref, extra={"contradictions": axes})
    write_table(annotations_to_table(annotations), layout.annotations, provenance)
    facts: dict[str, Any] = {"ontology": f"{ontology.ref.name} {ontology.ref.version}", "hash": ontology.ref.hash}
    if config.drawn:
        found = fidelity(annotations, read_truth(layout.studies, layout.annotations, drawn=True))
        facts |= {"diseases_read_back": found.diseases, "descriptors_read_back": found.descriptors}
    return facts


def mine(config: PipelineConfig, layout: Layout, progress: Progress) -> dict[str, Any]:
    """Mine triplets of the training split the published way; a corpus that admits none leaves an empty table."""
    training = {s.study_id for s in read_studies(layout.studies) if s.split == "train"}
    encoded = encode_studies([a for a in read_annotations(layout.annotations) if a.study_id in training])
    options = PoolConfig(iterations=config.iterations)
    provenance = Provenance("triplets", config=options.to_dict(), seed=config.seed)
    try:
        mined = mine_pools(encoded, options, np.random.default_rng(config.seed), progress=progress)
    except MiningError as error:
        write_table(triplets_to_table([]), layout.triplets, provenance)
        return {"triplets": 0, "why": str(error)}
    write_table(mined.to_table(encoded.study_ids), layout.triplets, provenance)
    return {"triplets": len(mined), "counts": {k: int(v) for k, v in mined.counts.items()}}


def cache_images(layout: Layout, size: int, progress: Progress) -> dict[str, Any]:
    """Decode every study's first image once, at the training size."""
    build = ImageCache.build(
        read_studies(layout.studies), root=layout.corpus, size=size, path=layout.cache, progress=progress
    )
    listed = layout.cache / REJECTS_OF_CACHE
    write_table(rejects_to_table(build.rejects), listed, Provenance("rejects", config={"size": size}))
    return {"images": len(build.cache), "rejects": len(build.rejects)}


def collect_rejects(layout: Layout) -> int:
    """Put the rejects of every stage into one table in the run's folder; returns how many there are."""
    rejects: list[Reject] = []
    for path in (rejects_path(layout.studies), layout.cache / REJECTS_OF_CACHE):
        if path.exists():
            table = read_table(path, schemas.REJECTS, table="rejects").select(schemas.REJECTS.names)
            rejects += [Reject(**row) for row in table.to_pylist()]
    layout.rejects.unlink(missing_ok=True)
    if rejects:
        write_table(rejects_to_table(rejects), layout.rejects, Provenance("rejects"))
    return len(rejects)
