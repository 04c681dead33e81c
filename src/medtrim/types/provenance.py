"""Where a table came from: written into its Parquet metadata and read back with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from medtrim.types.vocabulary import DEFAULT_CONTRADICTIONS, Contradictions

METADATA_KEY = b"medtrim"


def medtrim_version() -> str:
    """The installed version of MedTrim, or `0+unknown` in a tree that was never installed."""
    try:
        return version("medtrim")
    except PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True, slots=True)
class OntologyRef:
    """Name, version and content hash (SHA-256, hex) of the ontology that made an annotation."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a table: the kind of table, the configuration, the seed, the ontology, the medtrim version.

    `config` must be representable in JSON and hold no path of a patient's file. `extra` carries facts that
    later steps read back, such as the ontology's contradictions.
    """

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    ontology: OntologyRef | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    medtrim: str = field(default_factory=medtrim_version)

    def to_metadata(self) -> dict[bytes, bytes]:
        """Arrow schema metadata; the JSON is sorted so that equal provenance is equal bytes."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> Provenance | None:
        """The provenance in `metadata`, or None where a table was not made by MedTrim."""
        raw = (metadata or {}).get(METADATA_KEY)
        if raw is None:
            return None
        fields = json.loads(raw)
        ontology = fields.pop("ontology", None)
        return cls(**fields, ontology=OntologyRef(**ontology) if ontology else None)


def contradictions_of(provenance: Provenance | None) -> Contradictions:
    """The contradictions of the ontology that made a table, or the default ontology's where nothing is known of it.

    An ontology that names no contradictions has none.
    """
    axes = provenance.extra.get("contradictions") if provenance else None
    return Contradictions(axes) if axes is not None else DEFAULT_CONTRADICTIONS
