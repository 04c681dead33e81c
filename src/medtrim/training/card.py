"""A model card for the hub, written from the run's records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medtrim.errors import ModelError
from medtrim.models import load_preset, read_facts
from medtrim.models.names import renamed, told_names
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import TrainingCorpus
from medtrim.training.record import run_provenance
from medtrim.types.yamlfile import dump_yaml

THIS_FOLDER = "THIS_FOLDER"  # stands for the name under which the model is loaded

_HEAD = """---
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [chest-x-ray, radiology, vision-language, medtrim]
---

# Chest X-ray dual encoder

An image and a text encoder (`VisionTextDualEncoderModel`) that place a chest radiograph and its report close
together, trained with MedTrim {version} (method: arXiv 2504.15929).

    from transformers import pipeline
    classify = pipeline("zero-shot-image-classification", model="{name}")
    labels = ["left pleural effusion", "no pleural effusion"]
    classify("film.png", candidate_labels=labels, hypothesis_template="{{}}")

Images are grayscale films made square, then resized to {image_size} px. Sides are as reports name them: never
mirror an image.

## Data

{studies} studies of {patients} patients (split {split}, by patient). {annotations}
{vocabulary}
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
    facts = asdict(run_provenance(config, corpus, steps=steps))
    return card_of_facts(facts, image_size=image_size, metrics=metrics)


def card_of_facts(facts: Mapping[str, Any], *, image_size: int, metrics: Mapping[str, float] | None = None) -> str:
    """The card of a checkpoint from its `medtrim.json`, for one that was saved without a card.

    Raises:
        ModelError: the facts are not of a run of `medtrim train`.
    """
    try:
        known, recipe, counts = facts["ontology"], dict(facts["config"]), facts["extra"]
        numbers = {name: f"{counts[name]:,}" for name in ("studies", "patients", "steps")}
        split = recipe.pop("data")["train_split"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "medtrim.json does not say what the model was trained on: it is of no training run"
        ) from error
    annotations = (
        f"Annotations by ontology {known['name']} {known['version']} (SHA-256 {known['hash'][:12]}…)."
        if known is not None
        else "No annotations were used, or their ontology is not known."
    )
    head = _HEAD.format(
        version=facts.get("medtrim", "of an unknown version"),
        name=THIS_FOLDER,
        image_size=image_size,
        studies=numbers["studies"],
        patients=numbers["patients"],
        split=split,
        annotations=annotations,
        vocabulary=_vocabulary(recipe["model"]),
    )
    parts = [head]
    if metrics:
        rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
        parts.append(f"## Results\n\n| figure | value |\n|---|---|\n{rows}\n")
    parts.append(f"## Recipe\n\n{numbers['steps']} weight updates with\n\n```yaml\n{dump_yaml(recipe)}```\n")
    return "\n".join(parts)


def _vocabulary(model: Mapping[str, Any]) -> str:
    """A paragraph on what the vocabulary reveals of reports; empty where the tokenizer was not trained on them."""
    if model.get("checkpoint"):
        words = "The tokenizer is that of the model it went on from; it may list words of that model's reports."
    elif model.get("text") or load_preset(str(model.get("preset", "tiny"))).text:
        return ""
    else:
        words = "The tokenizer was trained on these reports: its vocabulary lists words of them in clear."
    return f"\n{words}\n"


def card_for_hub(folder: Path | str, repo_id: str, *, image_size: int) -> str:
    """The model card of a checkpoint folder as it stands under a hub name, without folders of this machine.

    Args:
        folder: the checkpoint.
        repo_id: OWNER/NAME.
        image_size: side of the model's input in pixels.

    Raises:
        ModelError: there is no checkpoint, or neither a card nor the facts to write one.
    """
    path = Path(folder) / "README.md"
    if path.exists():
        card = path.read_text(encoding="utf-8")
        # One that an older version wrote names whole folders.
        for source, name in renamed(read_facts(folder)).items():
            card = card.replace(source, name)
    else:
        card = card_of_facts(told_names(read_facts(folder)), image_size=image_size)
    return card.replace(THIS_FOLDER, repo_id)
