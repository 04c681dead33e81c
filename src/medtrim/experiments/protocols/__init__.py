"""Protocols of the field as data: which studies, which text, which gallery. Manifests hold ids only."""

from medtrim.experiments.protocols.evaluate import evaluate_protocol
from medtrim.experiments.protocols.manifest import Manifest, read_manifest, write_manifest
from medtrim.experiments.protocols.schema import PROTOCOLS, Protocol, load_protocol
from medtrim.experiments.protocols.select import select

__all__ = [
    "PROTOCOLS",
    "Manifest",
    "Protocol",
    "evaluate_protocol",
    "load_protocol",
    "read_manifest",
    "select",
    "write_manifest",
]
