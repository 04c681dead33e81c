"""Everything of a run that exists before its first step; a dry run stops here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from medtrim.entities import texts_to_read
from medtrim.errors import ConfigError
from medtrim.mining.batch import BatchConfig as MiningConfig
from medtrim.mining.similarity import EncodedStudies
from medtrim.models import EncoderBundle, ModelConfig, build_dual_encoder, load_checkpoint, load_preset
from medtrim.models.standardise import standardise_projection
from medtrim.models.zones import freeze_zones
from medtrim.objectives import Objective, build_objective
from medtrim.training.batches import BatchPlan, Rows, ShuffledPlan
from medtrim.training.collate import BatchDataset, PooledFeatures, Rank, tokenize
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import CorpusTables, TrainingCorpus, read_training_corpus
from medtrim.training.features import Captions, freeze_towers, make_captions, pooled_images, pooled_texts
from medtrim.training.inputs import CorpusKnowledge, corpus_knowledge
from medtrim.training.layers import freeze_first_layers
from medtrim.training.lora import add_lora
from medtrim.training.module import AlignmentModule
from medtrim.training.triplet_batches import TripletPlan
from medtrim.types import Study, contradictions_of
from medtrim.types.tables import Progress, no_progress

STANDARDISED_BY = 512  # studies, where features are not all worked out anyway


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run up to its first step.

    Attributes:
        corpus: what is trained on.
        bundle: the model with tokenizer and image processor.
        module: encoder and objective as they are trained.
        plan: which studies each batch has.
        dataset: batches as tensors.
        knowledge: similarities, triplets and labels by study.
        steps: weight updates.
        captions: of concepts, where the objective asks for them.
    """

    corpus: TrainingCorpus
    bundle: EncoderBundle
    module: AlignmentModule
    plan: BatchPlan
    dataset: BatchDataset
    knowledge: CorpusKnowledge
    steps: int
    captions: Captions | None = None


def prepare_run(
    config: TrainConfig,
    *,
    rank: Rank | None = None,
    pool: bool = True,
    tables: CorpusTables | None = None,
    progress: Progress = no_progress,
) -> PreparedRun:
    """Read the corpus, build the model and lay out the batches.

    Without `pool` features of frozen encoders are left to be worked out: a dry run has no use for them. What was
    read of `config` before stands in `tables`.

    Raises:
        ConfigError: recipe and corpus do not fit together.
        ModelError: a backbone cannot be loaded.
        TableError: a table is unreadable or names an unknown study.
        TrainingError: a patient has studies in two splits, or nothing is left to train on.
    """
    rank = rank or Rank()
    if config.batch.size % rank.count:
        raise ConfigError(f"batch.size {config.batch.size} cannot be shared among {rank.count} processes")
    start = load_checkpoint(config.model.checkpoint) if config.model.checkpoint else None
    image_size = start.image_size if start else model_config(config).image_size
    corpus = read_training_corpus(
        config, image_size=image_size, build_cache=rank.index == 0, tables=tables, progress=progress
    )
    plan = build_plan(corpus, config)
    reads = config.model.reads or (start.reads if start else "report")
    reports = _column_to_read(corpus.studies.reports(), reads)
    bundle = start or build_dual_encoder(model_config(config), texts=reports, seed=config.seed)
    classes = None if corpus.encoded is None else len(corpus.encoded.config.diseases)
    with _seeded(config.seed):
        objective = build_objective(
            config.objective.name,
            dimension=int(bundle.model.config.projection_dim),
            classes=classes,
            **config.objective.options,
        )
    if config.model.frozen and objective.needs & {"local", "views"}:
        raise ConfigError(
            f"model.frozen: objective {config.objective.name} needs what frozen features do not hold (words and "
            "patches, or a second view)"
        )
    temperature = config.model.temperature
    if temperature is not None:
        bundle.model.logit_scale.data.fill_(-math.log(temperature))
    elif start is None:
        bundle.model.logit_scale.data.fill_(objective.initial_log_scale)
    if config.lora is not None:
        add_lora(bundle.model, config.lora, seed=config.seed)
    freeze_first_layers(bundle.model, config.model.freeze_layers)
    freeze_zones(bundle.model.vision_model)
    if config.model.frozen:
        freeze_towers(bundle.model)
    if config.model.activation_checkpointing:
        checkpoint_activations(bundle)
    _remember_preparation(bundle, corpus)
    bundle.model.config.reads = reads  # written to config.json and read back
    knowledge = corpus_knowledge(
        objective,
        corpus.encoded,
        corpus.triplets,
        count=len(corpus),
        mining=MiningConfig(**config.mining.model_dump()),
        seed=config.seed,
        contradictions=contradictions_of(corpus.ontology),
    )
    dataset = _dataset(corpus, reports, plan, bundle, objective, rank)
    if pool and (config.model.frozen or config.model.standardise):
        dataset.features = _pooled(corpus, dataset, bundle, config, fresh=start is None, progress=progress)
    with _seeded(config.seed):
        module = AlignmentModule(
            bundle.model,
            objective,
            chunk=config.batch.chunk,
            length_groups=config.batch.length_groups,
            noise=config.augment.features,
            keep_statistics=start is not None or model_config(config).vision is not None,
            pooled=config.model.frozen,
            image_size=bundle.image_size,
        )
    return PreparedRun(
        corpus=corpus,
        bundle=bundle,
        module=module,
        plan=plan,
        dataset=dataset,
        knowledge=knowledge,
        steps=steps_of(config, plan),
        captions=make_captions(knowledge.concepts, bundle, corpus.cache, config)
        if pool and knowledge.concepts is not None
        else None,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Weights made inside are drawn by `seed`, on every rank alike; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _remember_preparation(bundle: EncoderBundle, corpus: TrainingCorpus) -> None:
    """Record in the image processor, and so in the checkpoint, how images were fitted into the square."""
    made = corpus.cache.format
    if (made.fit, made.equalize) != (bundle.fit, bundle.equalize):
        # Further attributes of an image processor are written to its file and read back.
        vars(bundle.image_processor).update(fit=made.fit, equalize=made.equalize)


def _pooled(
    corpus: TrainingCorpus,
    dataset: BatchDataset,
    bundle: EncoderBundle,
    config: TrainConfig,
    *,
    fresh: bool,
    progress: Progress,
) -> PooledFeatures | None:
    """Standardise the projections by what the encoders give; with frozen encoders these features are returned."""
    rows, tokens = corpus.image_rows, dataset.tokens
    bundle.model.train(False)
    if not config.model.frozen:
        rows = rows[:STANDARDISED_BY]
        tokens = tokens.first(STANDARDISED_BY)
    features = PooledFeatures(
        pooled_images(bundle, corpus.cache, rows, progress=progress), pooled_texts(bundle, corpus.cache, tokens)
    )
    model = bundle.model
    standardise_projection(model.visual_projection, torch.from_numpy(features.images), fresh=fresh)
    standardise_projection(model.text_projection, torch.from_numpy(features.texts), fresh=fresh, each=False)
    return features if config.model.frozen else None


def model_config(config: TrainConfig) -> ModelConfig:
    """The preset of the recipe with the keys that the recipe replaces.

    Raises:
        ModelError: they do not fit together.
    """
    return load_preset(config.model.preset, **config.model.overrides())


def build_plan(corpus: TrainingCorpus, config: TrainConfig) -> BatchPlan:
    """The batches that the recipe asks for."""
    return plan_batches(corpus.triplets, corpus.patients, corpus.encoded, config)


def plan_batches(
    triplets: Rows | None, patients: Rows, encoded: EncodedStudies | None, config: TrainConfig
) -> BatchPlan:
    """`build_plan` of the triplets' rows, the studies' patients and their annotations.

    Raises:
        ConfigError: the studies cannot fill a batch, or there are no triplets where the recipe asks for them.
    """
    batch = config.batch
    if batch.sampler == "triplets":
        if triplets is None:
            raise ConfigError("batch.sampler is triplets, but data.triplets names no table")
        return TripletPlan(
            triplets, patients, size=batch.size, seed=config.seed, one_per_patient=batch.one_per_patient
        )
    share = None
    if batch.normals < 1 and encoded is not None:  # without annotations the recipe was refused
        share = np.where(encoded.is_normal, batch.normals, 1.0)
    return ShuffledPlan(
        patients, size=batch.size, seed=config.seed, one_per_patient=batch.one_per_patient, share=share
    )


def steps_of(config: TrainConfig, plan: BatchPlan) -> int:
    """Weight updates of the run: `steps`, or what `epochs` come to."""
    if config.steps:
        return config.steps
    return max(1, math.ceil(config.epochs * plan.batches_per_epoch / config.batch.accumulate))


def checkpoint_activations(bundle: EncoderBundle) -> None:
    """Have both sides keep no activations and work them out again in the backward pass.

    Raises:
        ConfigError: a backbone cannot.
    """
    for side in (bundle.model.vision_model, bundle.model.text_model):
        # transformers renamed the method during version 5.
        enable = getattr(side, "activation_checkpointing_enable", None) or side.gradient_checkpointing_enable
        try:
            enable()
        except ValueError as error:
            raise ConfigError(
                f"model.activation_checkpointing: {type(side).__name__} has none; batch.chunk saves memory too"
            ) from error


def second_text(study: Study) -> str:
    """The other text of a study, for objectives with two views: the impression, or the findings without one."""
    return study.impression.strip() or study.findings.strip()


def _column_to_read(texts: pa.ChunkedArray, reads: str) -> pa.ChunkedArray:
    """`texts_to_read` of a column, chunk by chunk; reports stay the column that they are."""
    if reads == "report":
        return texts
    return pa.chunked_array([texts_to_read(part.to_pylist(), reads) for part in texts.chunks], pa.string())


def _dataset(
    corpus: TrainingCorpus,
    reports: pa.ChunkedArray,
    plan: BatchPlan,
    bundle: EncoderBundle,
    objective: Objective,
    rank: Rank,
) -> BatchDataset:
    limit = bundle.max_tokens
    views = None
    if "views" in objective.needs:
        second = pa.chunked_array([[second_text(s) for s in corpus.studies]], pa.string())
        views = _column_to_read(second, bundle.reads)
    return BatchDataset(
        plan,
        cache=corpus.cache,
        image_rows=corpus.image_rows,
        tokens=tokenize(reports, bundle.tokenizer, max_tokens=limit),
        views=None if views is None else tokenize(views, bundle.tokenizer, max_tokens=limit),
        rank=rank,
    )
