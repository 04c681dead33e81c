"""What flows between the packages: records, Arrow schemas, tables with provenance, YAML."""

from medtrim.types.provenance import OntologyRef, Provenance, contradictions_of, medtrim_version
from medtrim.types.records import (
    ASSERTIONS,
    CHANGES,
    Annotation,
    Assertion,
    Change,
    Finding,
    Mention,
    Reject,
    Role,
    Sections,
    Study,
    Triplet,
)
from medtrim.types.vocabulary import (
    DEFAULT_CONTRADICTIONS,
    DISEASES,
    NO_FINDING,
    SIDES,
    ZONES,
    Contradictions,
)

__all__ = [
    "ASSERTIONS",
    "CHANGES",
    "DEFAULT_CONTRADICTIONS",
    "DISEASES",
    "NO_FINDING",
    "SIDES",
    "ZONES",
    "Annotation",
    "Assertion",
    "Change",
    "Contradictions",
    "Finding",
    "Mention",
    "OntologyRef",
    "Provenance",
    "Reject",
    "Role",
    "Sections",
    "Study",
    "Triplet",
    "contradictions_of",
    "medtrim_version",
]
