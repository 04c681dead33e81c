"""Files that record a run: its configuration, provenance and rejects."""

from __future__ import annotations

from typing import Any

from medtrim.models.names import told_names
from medtrim.training.config import TrainConfig
from medtrim.training.corpus import TrainingCorpus
from medtrim.types import Provenance
from medtrim.types.tables import atomic_path, rejects_to_table, write_table
from medtrim.types.yamlfile import dump_yaml


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """The whole recipe as plain data, defaults included."""
    plain: dict[str, Any] = config.model_dump(mode="json")
    return plain


def run_provenance(config: TrainConfig, corpus: TrainingCorpus, *, steps: int) -> Provenance:
    """The recipe without paths, the ontology behind the annotations, and how much was trained on.

    Of a folder that a model was loaded from the last part is kept.
    """
    recipe = plain_config(config)
    recipe.pop("out")
    recipe["model"] = told_names(recipe["model"])
    recipe["data"] = {
        k: v for k, v in recipe["data"].items() if k in ("train_split", "eval_split", "fractions", "split_seed")
    }
    facts = {"steps": steps, "studies": len(corpus), "patients": int(corpus.patients.max()) + 1}
    ontology = corpus.ontology.ontology if corpus.ontology is not None else None
    return Provenance(kind="checkpoint", config=recipe, seed=config.seed, ontology=ontology, extra=facts)


def write_run_files(config: TrainConfig, corpus: TrainingCorpus) -> None:
    """`config.yaml`, and `rejects.parquet` where there are rejects."""
    with atomic_path(config.out / "config.yaml") as part:
        part.write_text(dump_yaml(plain_config(config)), encoding="utf-8")
    if corpus.rejects:
        table = rejects_to_table(corpus.rejects)
        write_table(table, config.out / "rejects.parquet", Provenance(kind="rejects", seed=config.seed))
