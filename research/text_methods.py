"""How a text encoder is trained without images: by meta-entity scores, or by contrast of a report with itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medtrim.errors import TrainingError
from medtrim.evaluation import embed_texts
from medtrim.mining.batch import BatchConfig
from medtrim.mining.similarity import ScoreConfig, encode_studies
from medtrim.models import EncoderBundle, build_dual_encoder, encode_texts, load_preset
from medtrim.objectives import Objective, ObjectiveInputs, build_objective
from medtrim.training.batches import ShuffledPlan
from medtrim.training.inputs import CorpusKnowledge, corpus_knowledge
from medtrim.types import Annotation, Study
from medtrim.types.tables import Progress, no_progress

DROPOUT = 0.1
MAX_TOKENS = 96
# Reports are encoded in groups of like length: less padding.
GROUPS = 4
WARMUP = 0.25
# SimCSE's temperature (Gao et al. 2021), kept fixed as there.
SIMCSE_TEMPERATURE = 0.05


@dataclass(frozen=True)
class TextMethod:
    """One way to train the text side.

    Attributes:
        label: what tables call it.
        objective, options: as in `medtrim.objectives`; the text stands for the image too.
        twice: encode each report twice, with two draws of dropout, and contrast the two.
        temperature: fixed; None learns the scale from the objective's own start.
    """

    label: str
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)
    twice: bool = False
    temperature: float | None = None


# Only terms between texts are left: the others would compare the text with itself once more.
_TEXT_ONLY = {"cross_modal": False, "image_weight": 0.0}
TEXT_METHODS: dict[str, TextMethod] = {
    "soft-targets": TextMethod("Meta-entity soft targets", "medtrim", _TEXT_ONLY),
    "triplets": TextMethod("Meta-entity triplets", "medtrim-triplet", {"cross_modal": False}),
    "simcse": TextMethod("SimCSE-style contrast", "clip", twice=True, temperature=SIMCSE_TEMPERATURE),
}


@dataclass(frozen=True, slots=True)
class TextTraining:
    """Settings of a training run: batch [reports], weight updates, peak learning rate, seed, when to look."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    looks: tuple[int, ...]


def new_text_encoder(texts: Sequence[str], *, seed: int) -> EncoderBundle:
    """The tiny preset with dropout and room for whole reports, weights random, tokenizer from `texts`."""
    dropout = {"hidden_dropout_prob": DROPOUT, "attention_probs_dropout_prob": DROPOUT}
    return build_dual_encoder(
        load_preset("tiny", text_config=dropout, max_tokens=MAX_TOKENS), texts=texts, seed=seed
    )


def train_text_encoder(
    method: TextMethod,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    judged: Sequence[str],
    settings: TextTraining,
    *,
    progress: Progress = no_progress,
) -> dict[int, NDArray[np.float32]]:
    """Train on `studies` and embed the texts `judged` at each of the looks.

    AdamW, warm-up over a quarter of the steps, then cosine. All methods train the same encoder with dropout: what
    SimCSE draws its two views from is plain regularisation for the others. SimCSE encodes twice as many
    texts in a step; we let it.

    Returns:
        step → unit vectors [judged D].

    Raises:
        TrainingError: the loss is not finite. ConfigError: fewer studies than the batch.
    """
    bundle = new_text_encoder([s.report for s in studies], seed=settings.seed)
    plan = ShuffledPlan(np.arange(len(studies)), size=settings.batch, seed=settings.seed, one_per_patient=False)
    objective = build_objective(method.objective, **method.options)
    knowledge = _knowledge(objective, annotations, settings.seed)
    parameters = _trained(bundle, method, objective)
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    found: dict[int, NDArray[np.float32]] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        bundle.model.train(True)
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_at(step, settings.steps)
            rows = plan.rows(step)
            loss = _loss(
                bundle, method, objective, knowledge, [studies[i].report for i in rows], rows, step, settings
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if step + 1 in settings.looks:
                found[step + 1] = embed_texts(bundle, judged)
            progress(step + 1, settings.steps)
    return found


def rate_at(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear over the first quarter of the steps, then half a cosine to 0."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _knowledge(objective: Objective, annotations: Sequence[Annotation], seed: int) -> CorpusKnowledge:
    encoded = encode_studies(annotations, ScoreConfig())
    return corpus_knowledge(objective, encoded, None, count=len(annotations), mining=BatchConfig(), seed=seed)


def _trained(bundle: EncoderBundle, method: TextMethod, objective: Objective) -> list[torch.nn.Parameter]:
    """The text side's parameters, the scale where it is learned, and the objective's own."""
    model = bundle.model
    fixed = method.temperature
    model.logit_scale.data.fill_(objective.initial_log_scale if fixed is None else -math.log(fixed))
    scale = [] if fixed is not None else [model.logit_scale]
    return [*model.text_model.parameters(), *model.text_projection.parameters(), *scale, *objective.parameters()]


def _loss(
    bundle: EncoderBundle,
    method: TextMethod,
    objective: Objective,
    knowledge: CorpusKnowledge,
    texts: Sequence[str],
    rows: NDArray[np.int64],
    step: int,
    settings: TextTraining,
) -> Tensor:
    tokens = bundle.tokenizer(
        list(texts), truncation=True, max_length=bundle.max_tokens, padding=True, return_tensors="pt"
    )
    passes = [
        encode_texts(bundle.model, tokens["input_ids"], tokens["attention_mask"], groups=GROUPS).projected
        for _ in range(2 if method.twice else 1)
    ]
    known = knowledge.of(rows, passes[0].device, index=step)
    inputs = ObjectiveInputs(
        image=passes[-1],
        text=passes[0],
        log_scale=bundle.model.logit_scale,
        progress=step / max(1, settings.steps - 1),
        similarity=known.similarity,
        contradiction=known.contradiction,
        triplets=known.triplets,
        labels=known.labels,
    )
    total: Tensor = objective(inputs).total
    if not torch.isfinite(total):
        raise TrainingError(f"step {step}: the loss of the text encoder is not finite")
    return total
