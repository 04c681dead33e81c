"""Zero-shot classification of images: disease present or not, and which side, severity or zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.label_figures import ScoredLabel, label_figures
from medtrim.evaluation.label_metrics import best_threshold
from medtrim.evaluation.prompts import PromptConfig, PromptPair, contrasts_of, disease_prompts
from medtrim.evaluation.ranking import unit
from medtrim.evaluation.reference import Reference
from medtrim.types import NO_FINDING

EncodeTexts = Callable[[Sequence[str]], Float[np.ndarray, "texts dimension"]]
MIN_COUNT = 5


def prompt_scores(
    image: Float[np.ndarray, "studies dimension"], prompts: PromptPair, encode: EncodeTexts
) -> Float64[np.ndarray, " studies"]:
    """cos(image, positive) − cos(image, negative); each is the normalised mean of its prompts' unit vectors.

    The probability of CLIP's softmax over the pair is a rising function of it, so AUROC and AUPRC are the same.
    """
    sides = [
        unit(unit(encode(texts)).mean(axis=0, keepdims=True))[0] for texts in (prompts.positive, prompts.negative)
    ]
    return np.asarray(unit(image) @ (sides[0] - sides[1]))


def zero_shot(
    image: Float[np.ndarray, "studies dimension"],
    reference: Reference,
    bootstrap: PatientBootstrap,
    encode: EncodeTexts,
    prompts: PromptConfig,
    *,
    tuning_image: Float[np.ndarray, "tuning dimension"] | None = None,
    tuning: Reference | None = None,
    min_count: int = MIN_COUNT,
) -> list[Figure]:
    """AUROC, AUPRC and F1 by disease and their macro mean, AUROC by descriptor contrast.

    A label is evaluated where at least `min_count` studies have it and as many have it not; a contrast on the
    studies that have the disease and name exactly one of its two ends.

    F1 is at the threshold that is best on the `tuning` studies (the validation split), at 0 without any.
    """
    labels = [
        ScoredLabel(name, prompt_scores(image, disease_prompts(prompts, name), encode), positive, None, 0.0)
        for name, positive in disease_labels(reference).items()
        if enough(positive, min_count)
    ]
    if tuning is not None and tuning_image is not None and len(tuning):
        known = disease_labels(tuning)
        labels = [_tuned(label, tuning_image, known[label.name], prompts, encode) for label in labels]
    figures = label_figures("zero-shot", labels, bootstrap)
    return figures + _contrast_figures(image, reference, bootstrap, encode, prompts, min_count)


def disease_labels(reference: Reference) -> dict[str, Bool[np.ndarray, " studies"]]:
    """Disease → which studies have it; `no finding` where a study has none."""
    labels = {disease: reference.has[:, i] for i, disease in enumerate(reference.diseases)}
    return labels | {NO_FINDING: reference.is_normal}


def enough(positive: Bool[np.ndarray, " studies"], min_count: int) -> bool:
    """Whether both answers occur at least `min_count` times."""
    count = int(positive.sum())
    return min(count, len(positive) - count) >= max(1, min_count)


def _tuned(
    label: ScoredLabel,
    image: Float[np.ndarray, "tuning dimension"],
    positive: Bool[np.ndarray, " tuning"],
    prompts: PromptConfig,
    encode: EncodeTexts,
) -> ScoredLabel:
    if not positive.any():
        return label
    scores = prompt_scores(image, disease_prompts(prompts, label.name), encode)
    return ScoredLabel(label.name, label.scores, label.positive, None, best_threshold(scores, positive))


def _contrast_figures(
    image: Float[np.ndarray, "studies dimension"],
    reference: Reference,
    bootstrap: PatientBootstrap,
    encode: EncodeTexts,
    prompts: PromptConfig,
    min_count: int,
) -> list[Figure]:
    by_axis: dict[str, list[ScoredLabel]] = {axis: [] for axis in prompts.contrasts}
    for column, disease in enumerate(reference.diseases):
        for contrast in contrasts_of(prompts, disease):
            if contrast.axis not in reference.levels:
                continue
            levels = reference.levels[contrast.axis][:, column]
            high, low = 1 << contrast.positive_level, 1 << contrast.negative_level
            rows: Integer[np.ndarray, " chosen"] = np.flatnonzero((levels == high) | (levels == low))
            positive = levels[rows] == high
            if enough(positive, min_count):
                scores = prompt_scores(image[rows], contrast.prompts, encode)
                by_axis[contrast.axis].append(ScoredLabel(contrast.label, scores, positive, rows, 0.0))
    return [
        figure
        for axis, labels in by_axis.items()
        for figure in label_figures(f"zero-shot {axis}", labels, bootstrap, metrics=("AUROC",))
    ]
