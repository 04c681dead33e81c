"""One run from its specification to its result: annotations, triplets, training, evaluation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medtrim.data import ImageCache
from medtrim.evaluation import (
    EvaluationOptions,
    EvaluationResult,
    evaluate,
    write_evaluation,
)
from medtrim.evaluation.truth import contradictions_of_table
from medtrim.experiments.degrade import degrade
from medtrim.experiments.plan import RunSpec
from medtrim.experiments.prepare import PreparedCorpus
from medtrim.experiments.resolve import annotation_errors, study_encodings, training_config
from medtrim.experiments.runner import Reporter
from medtrim.experiments.validation import make_validator
from medtrim.mining.mine_corpus import mine
from medtrim.mining.reading import read_encoded
from medtrim.mining.recipe import read_recipe
from medtrim.models import load_checkpoint
from medtrim.training import TrainConfig, TrainResult, train
from medtrim.types import Provenance, Study, schemas
from medtrim.types.jsonfile import digest, read_json, write_json
from medtrim.types.tables import (
    annotations_to_table,
    provenance_of,
    read_annotations,
    read_studies,
    read_table,
    write_table,
)

EVALUATION, TRAINED, MODEL = "evaluation", "trained.json", "model"


@dataclass(frozen=True)
class RunTask:
    """What a worker needs: the run, the corpus, and what the suite says about every run.

    With a `checkpoint` nothing is trained: that model is evaluated on the corpus.
    """

    spec: RunSpec
    corpus: PreparedCorpus
    splits: Mapping[str, str]
    device: str = "cpu"
    keep_model: bool = False
    checkpoint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "corpus": self.corpus.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunTask:
        """The inverse of `to_dict`."""
        corpus = PreparedCorpus.from_dict(values["corpus"])
        given = {name: values[name] for name in ("splits", "device", "keep_model", "checkpoint")}
        return cls(RunSpec(**values["spec"]), corpus, **given)


def execute(task: RunTask, folder: Path, report: Reporter) -> dict[str, Any]:
    """Train and evaluate one run in `folder`; what is returned goes into its `result.json`.

    A training that was killed goes on from its newest checkpoint if its recipe keeps any (`save_every`), and from
    nothing otherwise. One that had ended is not repeated.

    Raises:
        MedTrimError: whatever the parts raise; the suite records it and goes on.
    """
    started = time.perf_counter()
    if task.checkpoint:
        result = _evaluate(task, Path(task.checkpoint), report)
        write_evaluation(result, folder / EVALUATION)
        return {"seconds": time.perf_counter() - started, "fingerprint": result.fingerprint}
    config = _training(task, folder, report)
    finished = read_json(folder / TRAINED)
    if not finished:
        finished = _train(task, config, folder, report)
    after_training = time.perf_counter()
    model = config.out / MODEL
    result = _evaluate(task, model, report)
    write_evaluation(result, folder / EVALUATION)
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    if not task.keep_model:
        shutil.rmtree(model, ignore_errors=True)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time(),
        "evaluation_seconds": time.perf_counter() - after_training,
        **finished,
        "fingerprint": result.fingerprint,
        "labels_left_out": result.facts["labels_left_out"],
    }


def _train(task: RunTask, config: TrainConfig, folder: Path, report: Reporter) -> dict[str, Any]:
    """Train, and write `trained.json` last: it marks the training as finished."""

    def note(line: Mapping[str, float]) -> None:
        if "loss" in line:
            report.note = f"loss {line['loss']:.3f}"

    curve = int(task.spec.measures["curve_studies"])
    reference = task.corpus.reference
    trained = train(
        config,
        resume=True,  # from the newest checkpoint; from nothing where there is none
        progress=report("training"),
        on_metrics=note,
        evaluate=make_validator(config, annotations=reference, count=curve, seed=0) if curve else None,
    )
    report.note = ""
    facts = _facts(config, trained)
    write_json(folder / TRAINED, facts)
    return facts


def _facts(config: TrainConfig, trained: TrainResult) -> dict[str, Any]:
    speed = trained.studies_per_second
    return {
        "training_seconds": trained.seconds,
        "studies_per_second": None if speed != speed else speed,
        "steps": trained.steps,
        "encodings": study_encodings(config) if config.steps else trained.steps * config.batch.size,
        "studies": trained.studies,
        "triplets_left_out": trained.triplets_left_out,
        "rejects": len(trained.rejects),
    }


def _training(task: RunTask, folder: Path, report: Reporter) -> TrainConfig:
    """The run's training configuration, with the tables it names made."""
    annotations = _degraded(task, report)
    data: dict[str, Any] = {
        "studies": str(task.corpus.studies),
        "annotations": str(annotations),
        "image_root": str(task.corpus.image_root),
        "cache": str(task.corpus.cache),
        "train_split": task.splits["train"],
        "eval_split": task.splits["validation"],
    }
    if task.spec.mining is not None:
        data["triplets"] = str(_mined(task, annotations, report))
    return training_config(task.spec.training, data=data, out=str(folder))


def _degraded(task: RunTask, report: Reporter) -> Path:
    """The training annotations with the run's errors; the same errors are made once for all runs."""
    errors = annotation_errors(task.spec.errors)
    source = task.corpus.annotations
    if not errors.any:
        return source
    path = source.with_name(f"annotations-{digest([task.corpus.fingerprint, errors.model_dump()])}.parquet")
    if not path.exists():
        report("putting errors into annotations")(0, 0)
        made = provenance_of(read_table(source, schemas.ANNOTATIONS, table="annotations"))
        provenance = replace(made or Provenance("annotations"), config={"errors": errors.model_dump()})
        write_table(annotations_to_table(degrade(read_annotations(source), errors)), path, provenance)
    return path


def _mined(task: RunTask, annotations: Path, report: Reporter) -> Path:
    """Triplets of the training split, mined with the run's seed; runs with the same recipe and seed share them."""
    recipe = read_recipe(task.spec.mining or {})
    seed = task.spec.seed
    facts = [task.corpus.fingerprint, annotations.name, recipe.to_dict(), seed]
    path = annotations.with_name(f"triplets-{digest(facts)}.parquet")
    if not path.exists():
        corpus = read_encoded(annotations, recipe.score)
        mined = mine(
            corpus.encoded,
            recipe.options,
            seed=seed,
            contradictions=corpus.contradictions,
            progress=report("mining"),
        )
        table = mined.to_table(corpus.encoded.study_ids)
        write_table(table, path, corpus.provenance(recipe.to_dict(), seed, mined.counts))
    return path


def _evaluate(task: RunTask, checkpoint: Path, report: Reporter) -> EvaluationResult:
    measures = task.spec.measures
    bundle = load_checkpoint(checkpoint)
    bundle.model.to(torch.device(task.device))  # type: ignore[arg-type]  # transformers wraps Module.to
    result = evaluate(
        bundle,
        limited(read_studies(task.corpus.studies), int(measures["limit"])),
        read_annotations(task.corpus.reference),
        method=task.spec.method,
        cache=ImageCache(task.corpus.cache),
        split=task.splits[task.spec.split],
        train_split=task.splits["train"],
        tune_split=task.splits["validation"],
        options=evaluation_options(measures, task.corpus.reference),
        progress=report("evaluating"),
    )
    return result if task.spec.split == "test" else replace(result, embeddings=None)


def evaluation_options(measures: Mapping[str, Any], reference: Path) -> EvaluationOptions:
    """How a run is evaluated, from the measures of its specification."""
    return EvaluationOptions(
        directions=tuple(measures["retrieval"]),
        resamples=int(measures["resamples"]),
        seed=int(measures["seed"]),
        zero_shot=bool(measures.get("zero_shot", False)),
        probes=bool(measures.get("probes")),
        probe_fractions=tuple(measures.get("probes") or (1.0,)),
        prior=float(measures.get("prior", 0.0)),
        contradictions=contradictions_of_table(reference),
    )


def limited(studies: Sequence[Study], limit: int) -> Sequence[Study]:
    """The first `limit` studies of each split (0: all), by study id."""
    if not limit:
        return studies
    kept: list[Study] = []
    seen: dict[str, int] = {}
    for study in sorted(studies, key=lambda s: s.study_id):
        seen[study.split] = seen.get(study.split, 0) + 1
        if seen[study.split] <= limit:
            kept.append(study)
    return kept
