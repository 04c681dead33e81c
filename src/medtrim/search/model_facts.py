"""What a reader of hits should know of the model that found them, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medtrim.models.checkpoint import read_facts
from medtrim.search.encoder import QueryEncoder
from medtrim.search.store import FACTS_NAME, StudyIndex

UNKNOWN = "not recorded"
_WEIGHTS = "model.safetensors"


def describe_model(index: StudyIndex, encoder: QueryEncoder) -> dict[str, str]:
    """Facts of an index and its model, by their names on the page; `UNKNOWN` where a checkpoint does not say."""
    facts = read_facts(index.model_folder)
    config: Any = encoder.bundle.model.config
    size = sum(parameter.numel() for parameter in encoder.bundle.model.parameters())
    return {
        "Encoders": f"{config.vision_config.model_type} for images of {encoder.bundle.image_size} px, "
        f"{config.text_config.model_type} for up to {encoder.bundle.max_tokens} tokens",
        "Size": f"{size / 1e6:.1f} million parameters, vectors of {encoder.dimension}",
        "Objective": _objective(facts.get("config", {})),
        "Training data": _training_data(facts.get("extra", {})),
        "Model written": _date(index.model_folder / _WEIGHTS),
        "Ontology": _ontology(facts.get("ontology")),
        "Index": f"{len(index):,} studies, written {_date(index.folder / FACTS_NAME)}",
    }


def _objective(config: Mapping[str, Any]) -> str:
    name = config.get("objective", {}).get("name")
    return f"{name}, {config['epochs']:g} epochs" if name and "epochs" in config else name or UNKNOWN


def _training_data(extra: Mapping[str, Any]) -> str:
    if "studies" not in extra or "patients" not in extra:
        return UNKNOWN
    return f"{extra['studies']:,} studies of {extra['patients']:,} patients"


def _ontology(ontology: Mapping[str, str] | None) -> str:
    return f"{ontology['name']} {ontology['version']} ({ontology['hash'][:12]})" if ontology else UNKNOWN


def _date(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat() if path.exists() else UNKNOWN
