"""One method on one fold with one seed: search its learning rate, train, embed the studies held out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtrim.data import ImageCache
from medtrim.evaluation import (
    Embeddings,
    PatientBootstrap,
    embed_images,
    embed_studies,
    embed_texts,
    make_reference,
)
from medtrim.evaluation.embed import write_embeddings
from medtrim.evaluation.prompts import disease_prompts, load_prompts
from medtrim.evaluation.validation_scores import validation_scores
from medtrim.evaluation.zero_shot import prompt_scores
from medtrim.experiments.execute import mine
from medtrim.experiments.plan import RunSpec, digest, make_spec
from medtrim.experiments.real.folds import Folds
from medtrim.experiments.resolve import resolved_training, training_config
from medtrim.experiments.schema import Suite
from medtrim.mining.reading import read_encoded
from medtrim.mining.recipe import read_recipe
from medtrim.models import EncoderBundle, build_dual_encoder, load_checkpoint
from medtrim.training import TrainConfig, train
from medtrim.training.prepare import model_config
from medtrim.types import DISEASES, NO_FINDING, Provenance, medtrim_version
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.tables import write_table

UNTRAINED = "untrained"
EMBEDDINGS, ZONES, PROMPTED, RESULT = "embeddings.parquet", "zones.parquet", "zero_shot.parquet", "result.json"
RATE = "optimizer.learning_rate"


@dataclass(frozen=True)
class FoldJob:
    """What to train: a method of the suite (or `untrained`), the fold held out, the training seed, rates to try."""

    method: str
    fold: int
    seed: int
    rates: tuple[float, ...]

    def spec(self, suite: Suite, rate: float) -> RunSpec:
        """The training with a learning rate, as suites describe it."""
        method = suite.ours if self.method == UNTRAINED else self.method
        return make_spec(suite, method, {RATE: rate}, self.seed, "test", {})

    def place(self, suite: Suite, folds: Folds, folder: Path) -> Path:
        """Folder of the job; its name hashes all that the result depends on, of models in folders their content."""
        spec = self.spec(suite, self.rates[0])
        facts = [
            resolved_training(spec.training),
            spec.mining and read_recipe(spec.mining).to_dict(),
            self.rates,
        ]
        mark = digest(
            [*facts, self.method, self.fold, self.seed, folds.count, folds.fingerprint, medtrim_version()]
        )
        return folder / "runs" / f"{self.method}-fold{self.fold}-seed{self.seed}-{mark}"


def run_fold(job: FoldJob, suite: Suite, folds: Folds, folder: Path) -> Mapping[str, Any]:
    """Do `job`, or take what an earlier start left; returns its result: the chosen rate and each rate's merit.

    Each rate is trained on all folds but two and judged on the second of them (the one after the fold held out);
    the best is then trained on all folds but the one held out. A job that was killed starts again from nothing.

    Raises:
        MedTrimError: whatever training raises.
    """
    place = job.place(suite, folds, folder)
    done = read_json(place / RESULT)
    if done:
        return done
    shutil.rmtree(place, ignore_errors=True)
    merits: dict[str, float] = {}
    rate = job.rates[0]
    if job.method == UNTRAINED:
        bundle = _fresh(job, suite, folds)
    else:
        if len(job.rates) > 1:
            merits = {
                f"{r:g}": _merit(_trained(job, suite, folds, place, r, searching=True), job, folds)
                for r in job.rates
            }
            rate = max(job.rates, key=lambda r: merits[f"{r:g}"])
        bundle = _trained(job, suite, folds, place, rate, searching=False)
    _leave(bundle, job, folds, place)
    found = {"method": job.method, "fold": job.fold, "seed": job.seed, "rate": rate, "merits": merits}
    write_json(place / RESULT, found)
    return found


def _config(job: FoldJob, suite: Suite, folds: Folds, out: Path, rate: float, *, searching: bool) -> TrainConfig:
    spec = job.spec(suite, rate)
    data: dict[str, Any] = {
        "studies": str(folds.table(job.fold, searching=searching)),
        "annotations": str(folds.training_annotations(job.fold, searching=searching)),
        "cache": str(folds.cache),
    }
    if spec.mining is not None and job.method != UNTRAINED:
        data["triplets"] = str(_mined(job, spec, folds, out, searching=searching))
    return training_config(spec.training, data=data, out=str(out))


def _mined(job: FoldJob, spec: RunSpec, folds: Folds, out: Path, *, searching: bool) -> Path:
    """Triplets of the training studies alone."""
    recipe = read_recipe(spec.mining or {})
    corpus = read_encoded(folds.training_annotations(job.fold, searching=searching), recipe.score)
    mined = mine(corpus, recipe, seed=job.seed, progress=lambda done, total: None)
    path = out.with_name(out.name + ".triplets.parquet")
    write_table(
        mined.to_table(corpus.encoded.study_ids), path, corpus.provenance(recipe.to_dict(), job.seed, mined.counts)
    )
    return path


def _trained(
    job: FoldJob, suite: Suite, folds: Folds, place: Path, rate: float, *, searching: bool
) -> EncoderBundle:
    out = place / (f"search-{rate:g}" if searching else "training")
    result = train(_config(job, suite, folds, out, rate, searching=searching))
    bundle = load_checkpoint(result.checkpoint)
    shutil.rmtree(out, ignore_errors=True)
    return bundle


def _fresh(job: FoldJob, suite: Suite, folds: Folds) -> EncoderBundle:
    """The encoders as a training would start with them."""
    config = training_config(job.spec(suite, job.rates[0]).training)
    if config.model.checkpoint:
        return load_checkpoint(config.model.checkpoint)
    texts = [s.report for s in folds.split(job.fold, searching=False) if s.split == "train"]
    return build_dual_encoder(model_config(config), texts=texts, seed=job.seed)


def _merit(bundle: EncoderBundle, job: FoldJob, folds: Folds) -> float:
    """Mean of disease P@10, fine P@10 and attribute AUC over both directions, of those that are defined."""
    held = sorted((s for s in folds.split(job.fold, searching=True) if s.split == "val"), key=lambda s: s.study_id)
    known = {a.study_id: a for a in folds.annotations}
    reference = make_reference([known[s.study_id] for s in held], contradictions=folds.contradictions)
    bootstrap = PatientBootstrap([s.patient_id for s in held], resamples=1, seed=0)
    found = [
        v for v in validation_scores(bundle, held, ImageCache(folds.cache), reference, bootstrap).values() if v == v
    ]
    return float(np.mean(found)) if found else 0.0


def _leave(bundle: EncoderBundle, job: FoldJob, folds: Folds, place: Path) -> None:
    """Write embeddings of the fold's studies and zone-scored images, and zero-shot scores."""
    cache = ImageCache(folds.cache)
    made = Provenance("embeddings", config={"method": job.method, "fold": job.fold}, seed=job.seed)
    found = embed_studies(bundle, sorted(folds.test(job.fold), key=lambda s: s.study_id), cache)
    write_embeddings(found, place / EMBEDDINGS, made)
    zoned = [s.study_id for s in folds.zoned if s.split == str(job.fold)]
    vectors = embed_images(bundle, cache[cache.rows(zoned)])
    # An embeddings table has two sides; a zone-scored image has its own alone.
    write_embeddings(Embeddings(tuple(zoned), vectors, vectors), place / ZONES, made)
    write_table(_prompted(bundle, found), place / PROMPTED, made)


def _prompted(bundle: EncoderBundle, found: Embeddings) -> pa.Table:
    prompts = load_prompts()
    scores = {
        label: prompt_scores(found.image, disease_prompts(prompts, label), lambda texts: embed_texts(bundle, texts))
        for label in labels()
    }
    columns: dict[str, Sequence[Any]] = {
        "study_id": list(found.study_ids),
        **{k: v.tolist() for k, v in scores.items()},
    }
    return pa.table(columns)


def labels() -> tuple[str, ...]:
    """What zero-shot scores are worked out for."""
    return (*DISEASES, NO_FINDING)
