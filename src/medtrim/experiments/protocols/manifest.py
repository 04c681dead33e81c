"""A manifest: which studies a protocol came to, by id and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from medtrim.errors import TableError
from medtrim.experiments.protocols.schema import Protocol
from medtrim.types import Provenance
from medtrim.types.tables import provenance_of, read_table, write_table

KIND = "protocol-manifest"
MANIFEST = pa.schema(
    [
        ("study_id", pa.string()),
        ("part", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("text", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One study: in part `evaluated` or `train`, its positive classes, and the code of its text.

    Studies with equal codes have the same text. Codes count texts in the order of the study ids and say nothing
    about them.
    """

    study_id: str
    part: str
    classes: tuple[str, ...]
    text: int


@dataclass(frozen=True)
class Manifest:
    """The studies in the order of their ids; `counts` says how many were left out at each rule."""

    protocol: Protocol
    entries: tuple[Entry, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    def part(self, name: str) -> tuple[Entry, ...]:
        """The entries of one part."""
        return tuple(e for e in self.entries if e.part == name)


def write_manifest(manifest: Manifest, path: Path | str) -> None:
    """Write the manifest with the protocol and the counts in its metadata."""
    rows = [
        {"study_id": e.study_id, "part": e.part, "classes": list(e.classes), "text": e.text}
        for e in manifest.entries
    ]
    config = manifest.protocol.model_dump(mode="json")
    provenance = Provenance(KIND, config=config, seed=manifest.protocol.seed, extra=dict(manifest.counts))
    write_table(pa.Table.from_pylist(rows, schema=MANIFEST), Path(path), provenance)


def read_manifest(path: Path | str) -> Manifest:
    """A manifest that `write_manifest` wrote, yours or somebody else's.

    Raises:
        TableError: it is no manifest.
    """
    table = read_table(path, MANIFEST, table="manifest")
    made = provenance_of(table)
    if made is None or made.kind != KIND:
        raise TableError(f"{path} is no protocol manifest")
    entries = tuple(
        Entry(row["study_id"], row["part"], tuple(row["classes"]), row["text"])
        for row in table.select(MANIFEST.names).to_pylist()
    )
    return Manifest(Protocol.model_validate(made.config), entries, dict(made.extra))
