"""A model card for the hub, written from what the run knows about itself."""

from __future__ import annotations

from collections.abc import Mapping

from medtrim.training.config import TrainConfig
from medtrim.training.corpus import TrainingCorpus
from medtrim.training.record import plain_config
from medtrim.types import medtrim_version
from medtrim.types.yamlfile import dump_yaml

_HEAD = """---
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [chest-x-ray, radiology, vision-language, medtrim]
---

# Chest X-ray dual encoder

An image and a text encoder (`VisionTextDualEncoderModel`) that place a chest radiograph and its report close
together, trained with MedTrim {version} (method: arXiv 2504.15929).

    from transformers import pipeline
    classify = pipeline("zero-shot-image-classification", model="THIS_FOLDER")
    labels = ["left pleural effusion", "no pleural effusion"]
    classify("film.png", candidate_labels=labels, hypothesis_template="{{}}")

Images are grayscale films made square, then resized to {image_size} px. Sides are as reports name them: never
mirror an image.

## Data

{studies} studies of {patients} patients (split {split}, by patient). {annotations}

## Intended use and limits

For research on retrieval and alignment. It is no medical device and supports no diagnosis. It knows what its
training reports said, their mistakes included; views, devices and populations that were rare there will be served
worse. Reports and images of patients may leave traces in weights: share them under the terms of the data.
"""


def model_card(
    config: TrainConfig,
    corpus: TrainingCorpus,
    *,
    steps: int,
    image_size: int,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """README.md of a checkpoint: data, ontology, recipe, results, intended use and limits.

    Args:
        config: the recipe.
        corpus: what was trained on; only counts and the ontology's identity are told.
        steps: weight updates.
        image_size: side of the model's input in pixels.
        metrics: figures worth showing, by name.
    """
    known = corpus.ontology.ontology if corpus.ontology is not None else None
    annotations = (
        f"Annotations by ontology {known.name} {known.version} (SHA-256 {known.hash[:12]}…)."
        if known is not None
        else "No annotations were used, or their ontology is not known."
    )
    head = _HEAD.format(
        version=medtrim_version(),
        image_size=image_size,
        studies=f"{len(corpus):,}",
        patients=f"{int(corpus.patients.max()) + 1:,}",
        split=config.data.train_split,
        annotations=annotations,
    )
    recipe = {k: v for k, v in plain_config(config).items() if k not in ("data", "out")}
    parts = [head]
    if metrics:
        rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
        parts.append(f"## Results\n\n| figure | value |\n|---|---|\n{rows}\n")
    parts.append(f"## Recipe\n\n{steps:,} weight updates with\n\n```yaml\n{dump_yaml(recipe)}```\n")
    return "\n".join(parts)
