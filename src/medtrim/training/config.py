"""The schema of a training recipe; docs/training.md explains every key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medtrim.objectives import OBJECTIVES


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class DataConfig(Section):
    """What to train on.

    Attributes:
        studies: a studies table (Parquet, CSV, JSONL); relative image paths start from its folder.
        annotations: the table that `medtrim annotate` makes; objectives that use similarities need it.
        triplets: the table that `medtrim mine` makes, for `batch.sampler: triplets` and objectives of triplets;
            without it such objectives mine in the batch, as `mining` says.
        image_root: folder that relative image paths start from, where it is not the table's.
        columns: field → column of the studies table, where the names differ from the usual ones.
        cache: folder of the image cache; one that holds every study is used as it is. Default: OUT/cache.
        train_split, eval_split: names of the splits trained on and evaluated on.
        fractions: shares by patient where the table assigns no split.
        split_seed: of that assignment.
        workers: threads that decode images into the cache (0: one a core).
        fit, equalize: how images are fitted into the square (`medtrim.data.load_square`), where the run makes the
            cache; the checkpoint remembers it.
    """

    studies: Path
    annotations: Path | None = None
    triplets: Path | None = None
    image_root: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    cache: Path | None = None
    train_split: str = "train"
    eval_split: str = "val"
    fractions: dict[str, float] = Field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})
    split_seed: int = 0
    workers: int = Field(default=0, ge=0)
    fit: Literal["pad", "crop", "lungs"] = "pad"
    equalize: bool = False


class ModelSection(Section):
    """Which model: a packaged preset with some of its keys replaced, or a checkpoint to go on from.

    Attributes:
        checkpoint: folder or hub name of a dual encoder to start from, instead of building one.
        vision, text: hub name, folder or `packaged:NAME` of a pretrained backbone.
        pooling: `zones` keeps side and height in the pooled vector (`medtrim.models.zones`).
        vision_config, text_config: arguments of a backbone with random weights.
        projection_dim, image_size, max_tokens, vocab_size, temperature: as in `medtrim.models.ModelConfig`;
            without a `temperature` the learned scale starts where the objective wants it or a checkpoint left it.
        freeze_layers: the embeddings and this many first layers of both sides stay as they are.
        frozen: train the projections alone, on features that are worked out once (`medtrim.training.features`);
            images are not augmented then.
        standardise: write the projections in terms of standardised features (`medtrim.models.standardise`); frozen
            features always are.
        activation_checkpointing: trade a second forward pass for memory.
        reads: what the text side takes: the `report`, or the `findings` that OBER reads in it, as a caption in
            canonical words (`medtrim.entities.captions_of`), which does not depend on a hospital's wording. The
            checkpoint remembers it for evaluation, search and further training: None, the default, takes the value
            of `checkpoint`, or the report where there is none.
    """

    preset: Literal["tiny", "paper"] = "tiny"
    checkpoint: str | None = None
    vision: str | None = None
    text: str | None = None
    pooling: Literal["native", "zones"] | None = None
    vision_config: dict[str, Any] | None = None
    text_config: dict[str, Any] | None = None
    projection_dim: int | None = Field(default=None, ge=1)
    image_size: int | None = Field(default=None, ge=8)
    max_tokens: int | None = Field(default=None, ge=4)
    vocab_size: int | None = Field(default=None, ge=32)
    temperature: float | None = Field(default=None, gt=0)
    freeze_layers: int = Field(default=0, ge=0)
    frozen: bool = False
    standardise: bool = False
    activation_checkpointing: bool = False
    reads: Literal["report", "findings"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _new_models_read_reports(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not values.get("checkpoint") and values.get("reads") is None:
            return {**values, "reads": "report"}
        return values

    def overrides(self) -> dict[str, Any]:
        """The preset's keys that this section replaces."""
        own = {
            "preset",
            "checkpoint",
            "reads",
            "freeze_layers",
            "frozen",
            "standardise",
            "activation_checkpointing",
        }
        return {k: v for k, v in self.model_dump().items() if k not in own and v is not None}


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021) through peft; merged into plain weights at the end."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ("query", "value")


class ObjectiveSection(Section):
    """Which objective and its options (`medtrim.objectives`)."""

    name: str = "medtrim"
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"there is no objective {name!r}; allowed: {', '.join(OBJECTIVES)}")
        return name


class ScoreSection(Section):
    """How studies are compared: the meta-entity score's weights and mode, and which assertions count.

    Kernel objectives weigh the terms themselves; the weights matter where triplets are mined in the batch.
    """

    mode: Literal["faithful", "symmetric"] = "faithful"
    disease: float = Field(default=0.85, ge=0)
    adjective: float = Field(default=0.10, ge=0)
    direction: float = Field(default=0.05, ge=0)
    assertions: tuple[Literal["present", "uncertain", "absent"], ...] = ("present", "uncertain")


class MiningSection(Section):
    """Triplets mined in each batch, where no table gives them: `medtrim.mining.batch.BatchConfig` has the keys.

    A triplet is admissible when S(a, p) ≥ `positive_floor` and `negative_floor` ≤ S(a, n) < `ceiling`, the gap
    being at least `min_gap`; of more than `limit` of them so many are drawn.
    """

    positive_floor: float = Field(default=0.6, ge=0)
    negative_floor: float = Field(default=0.0, ge=0)
    ceiling: float = Field(default=0.6, gt=0)
    min_gap: float = Field(default=0.0, ge=0)
    limit: int = Field(default=8192, ge=0)


class BatchConfig(Section):
    """What one step sees.

    Attributes:
        size: B, distinct studies that one evaluation of the objective compares, over all ranks together.
        sampler: `shuffle` takes every study once an epoch; `triplets` fills batches with mined triplets.
        normals: share of the normal studies that an epoch of `shuffle` takes, drawn anew each time (undersampling).
            Normal is a study in which the score sees no disease, whatever else its report names. Below 1 it needs
            annotations.
        one_per_patient: no two studies of a patient in a batch (they would be false negatives of each other).
        accumulate: batches a weight update.
        chunk: encode at most so many studies at a time and rank (gradient caching); 0: all at once.
        length_groups: encode a batch's reports in so many groups of like length: less padding, the same result.
        loader_workers: processes that collate batches; 0 does it in the training process.
    """

    size: int = Field(default=64, ge=1)
    sampler: Literal["shuffle", "triplets"] = "shuffle"
    normals: float = Field(default=1.0, ge=0, le=1)
    one_per_patient: bool = True
    accumulate: int = Field(default=1, ge=1)
    chunk: int = Field(default=0, ge=0)
    length_groups: int = Field(default=1, ge=1)
    loader_workers: int = Field(default=0, ge=0)


class OptimizerConfig(Section):
    """AdamW (Loshchilov & Hutter 2019), on request Muon for the weight matrices, warm-up and decay.

    Attributes:
        matrices: what updates the encoders' weight matrices: `adamw` like everything else, or `muon`, which learns
            several times faster from random weights (`medtrim.training.muon`).
        matrix_learning_rate: of the matrices under `muon`.
        layer_decay: learning rate of a layer is that times the one of the layer above it; 1 is off.
        warmup: share of the steps over which the rate rises linearly.
        max_grad_norm: gradients are scaled down to this norm; 0 is off.
        ema: decay of the exponential moving average of the weights that is saved at the end; 0 is off.
    """

    learning_rate: float = Field(default=2e-5, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    max_grad_norm: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    matrices: Literal["adamw", "muon"] = "adamw"
    matrix_learning_rate: float = Field(default=0.02, gt=0)


class AugmentConfig(Section):
    """Random changes of each training image; all zero is off. There is no mirror: side carries meaning.

    Attributes:
        rotate: degrees to either side.
        translate: share of the side.
        scale: zoom of 1 ± this.
        contrast, brightness: factor of 1 ± this; offset of ± this on intensities in [0, 1].
        gamma: exponent of exp(± this).
        noise: standard deviation of added Gaussian noise, intensities in [0, 1].
        blur: largest standard deviation of a Gaussian blur in pixels.
        features: standard deviation of Gaussian noise on frozen features, in units of each one's own: of a linear
            head it is a ridge.
    """

    rotate: float = Field(default=5.0, ge=0, le=45)
    translate: float = Field(default=0.05, ge=0, le=0.5)
    scale: float = Field(default=0.05, ge=0, lt=1)
    contrast: float = Field(default=0.15, ge=0, lt=1)
    brightness: float = Field(default=0.1, ge=0, lt=1)
    gamma: float = Field(default=0.0, ge=0, le=2)
    noise: float = Field(default=0.01, ge=0, le=0.5)
    blur: float = Field(default=0.0, ge=0, le=8)
    features: float = Field(default=0.0, ge=0, le=20)


class EvaluationConfig(Section):
    """Evaluation while training, through the callable given to `train`; early stopping on what it returns.

    `medtrim train` gives one that logs `mean disease P@10`, `mean fine P@10` and `mean attribute AUC` of the
    evaluation split (means over image→text and text→image); it needs annotations and a named image cache.
    """

    every: int = Field(default=0, ge=0)
    metric: str = "mean fine P@10"
    greater_is_better: bool = True
    patience: int = Field(default=0, ge=0)


class TrainConfig(Section):
    """A whole recipe. Either `steps` or `epochs` says how long; a given `steps` wins.

    Attributes:
        out: folder of the run: metrics.jsonl, checkpoints, and `model`, the final checkpoint.
        seed: of weights, batches and augmentation.
        steps: weight updates.
        epochs: where `steps` is 0, study encodings as a multiple of the training studies; passes over them where
            each pass takes every study.
        precision: `fp32`, or autocast in `bf16` or `fp16` (with a gradient scaler).
        save_every: steps between resumable checkpoints; 0 keeps none.
        keep: how many of them stay.
        log_every: steps between lines of metrics.jsonl.
        threads: of PyTorch on the CPU while it trains; 0 leaves what is set.
        compile: torch.compile the encoders.
        trackers: of the Trainer (`tensorboard`, `wandb`, `mlflow`), each needs its package.
    """

    data: DataConfig
    out: Path
    model: ModelSection = Field(default_factory=ModelSection)
    lora: LoraConfig | None = None
    objective: ObjectiveSection = Field(default_factory=ObjectiveSection)
    score: ScoreSection = Field(default_factory=ScoreSection)
    mining: MiningSection = Field(default_factory=MiningSection)
    batch: BatchConfig = Field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    epochs: float = Field(default=20.0, gt=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    save_every: int = Field(default=0, ge=0)
    keep: int = Field(default=2, ge=1)
    log_every: int = Field(default=10, ge=1)
    threads: int = Field(default=0, ge=0)
    compile: bool = False
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch.sampler == "triplets" and self.data.triplets is None:
            raise ValueError("batch.sampler is triplets, but data.triplets names no table")
        if self.batch.normals < 1 and self.batch.sampler == "triplets":
            raise ValueError(
                "batch.normals is for batch.sampler shuffle; mined triplets choose the studies themselves"
            )
        if self.batch.normals < 1 and self.data.annotations is None:
            raise ValueError("batch.normals below 1 needs data.annotations, which say what study is normal")
        return self
