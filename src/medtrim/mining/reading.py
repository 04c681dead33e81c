"""An annotations table straight into encoded studies, without a Python object a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Integer

from medtrim.errors import ConfigError, TableError
from medtrim.mining.coded import CodedFindings, read_coded
from medtrim.mining.encoding import EncodedStudies, encode_findings
from medtrim.mining.score_config import ScoreConfig
from medtrim.types import Contradictions, OntologyRef, Provenance, contradictions_of
from medtrim.types.tables import check_unique, read_table, shown_ids

_ASSIGN = "`medtrim data import TABLE -o studies.parquet --split train=0.8,val=0.1,test=0.1`"


@dataclass(frozen=True)
class EncodedCorpus:
    """Encoded studies with what their table says of itself, and remarks a user should see.

    Studies whose report was not read are left out, unless the score counts them as normal. `unread` marks studies
    without any finding, not even a denied one, of which no more is known than that they were called normal.
    `split` is the split that the corpus was restricted to, empty where it was not.
    """

    encoded: EncodedStudies
    unread: Bool[np.ndarray, " studies"]
    ontology: OntologyRef | None
    contradictions: Contradictions
    notes: tuple[str, ...]
    split: str = ""

    def provenance(self, config: Mapping[str, Any], seed: int, counts: Mapping[str, int]) -> Provenance:
        """Provenance of triplets mined from this corpus."""
        axes = {axis: dict(levels) for axis, levels in self.contradictions.axes.items()}
        extra: dict[str, Any] = {"counts": dict(counts), "studies": len(self.encoded), "contradictions": axes}
        if self.split:
            extra["split"] = self.split
        return Provenance("triplets", config, seed, self.ontology, extra)


def read_encoded(
    path: Path | str,
    config: ScoreConfig | None = None,
    *,
    split: str | None = None,
    studies: Path | str | None = None,
) -> EncodedCorpus:
    """Read and encode an annotations table.

    Args:
        path: the annotations.
        config: the score.
        split: keep only the studies of this split; None keeps all.
        studies: the studies table that holds the splits.

    Raises:
        ConfigError: a split without a name, or without a table that holds it.
        TableError: no such table, columns missing, ids missing or repeated, unknown assertions, findings none
            of which is of a counted disease (the table was made with another ontology), or no study in the split.
    """
    if split == "":
        raise ConfigError("the split has no name: leave it out to keep all studies")
    if split is not None and studies is None:
        raise ConfigError(f"split {split!r} needs the studies table that holds the splits")
    config = config or ScoreConfig()
    coded = read_coded(path)
    if split is not None and studies is not None:
        coded = coded.select(_in_split(studies, coded.study_ids, split).to_numpy(zero_copy_only=False))
    unknown = 0
    if config.unread == "apart":
        unknown = int((~coded.read).sum())
        coded = coded.select(coded.read) if unknown else coded
    encoded, notes = _encode(coded, config)
    if unknown:
        notes = (f"{unknown} study(ies) are left out: nothing was read in their reports", *notes)
    made = coded.provenance
    if made is None:
        notes = ("the annotations carry no provenance: the ontology that made them is unknown", *notes)
    ontology = made.ontology if made else None
    return EncodedCorpus(encoded, coded.silent, ontology, contradictions_of(made), notes, split or "")


def read_patients(path: Path | str, study_ids: Sequence[str]) -> Integer[np.ndarray, " studies"]:
    """A number for the patient of each study, from a studies table.

    Raises:
        TableError: a study is not in the table, or has no patient id.
    """
    patients = _column_of(path, "patient_id", study_ids)
    nameless = pc.or_kleene(pc.is_null(patients), pc.equal(patients, "")).fill_null(True)
    if pc.any(nameless).as_py():
        first = study_ids[nameless.to_pylist().index(True)]
        raise TableError(f"studies: {pc.sum(nameless).as_py()} study(ies) have no patient id, first {first!r}")
    return np.asarray(patients.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64))


def _in_split(path: Path | str, study_ids: pa.ChunkedArray, split: str) -> pa.Array:
    """Boolean [studies]: which of them are in `split`, by the studies table at `path`."""
    splits = pc.fill_null(_column_of(path, "split", study_ids.to_pylist()), "")
    inside = pc.equal(splits, split)
    if not pc.any(inside).as_py():
        found = ", ".join(sorted(repr(s) for s in pc.unique(splits).to_pylist() if s))
        hint = f"splits found: {found}" if found else f"the table assigns none; {_ASSIGN} does"
        raise TableError(f"studies: no annotated study is in split {split!r}; {hint}")
    return inside


def _column_of(path: Path | str, column: str, study_ids: Sequence[str]) -> pa.Array:
    """A text column of the studies table at `path`, for each of `study_ids`."""
    table = read_table(path, pa.schema([("study_id", pa.string()), (column, pa.string())]), table="studies")
    _check_ids(table, "studies")
    check_unique(table["study_id"].to_pylist(), table="studies")
    rows = pc.index_in(pa.array(study_ids, pa.string()), table["study_id"])
    if rows.null_count:
        unknown = [s for s, row in zip(study_ids, rows.to_pylist(), strict=True) if row is None]
        raise TableError(f"studies: {len(unknown)} annotated study(ies) are missing: {', '.join(unknown[:5])}")
    return table[column].combine_chunks().take(rows)


def _check_ids(table: pa.Table, name: str) -> None:
    """Every row has a study id; asked before anything is looked up by it."""
    if missing := table["study_id"].null_count:
        raise TableError(f"{name}: {missing} row(s) without a study id")


def encode_coded(
    coded: CodedFindings, study_ids: Sequence[str], config: ScoreConfig | None = None
) -> EncodedStudies:
    """The encoded studies `study_ids`, in their order.

    Raises:
        TableError: ids are repeated, or a study has no annotation.
    """
    check_unique(coded.study_ids.to_pylist(), table="annotations")
    rows = pc.index_in(pa.array(study_ids, pa.string()), coded.study_ids.combine_chunks())
    if rows.null_count:
        missing = [s for s, row in zip(study_ids, rows.to_pylist(), strict=True) if row is None]
        raise TableError(f"annotations: {len(missing)} training studies have none: {shown_ids(missing)}")
    return _encode(coded.take(rows.to_numpy()), config or ScoreConfig())[0]


def _encode(coded: CodedFindings, config: ScoreConfig) -> tuple[EncodedStudies, tuple[str, ...]]:
    """The encoded studies, and which findings the score does not count."""
    return encode_findings(coded, config), _uncounted(coded.words["disease"], coded.disease, config.diseases)


def _uncounted(names: Sequence[str], named: np.ndarray, counted: Sequence[str]) -> tuple[str, ...]:
    other = [(name, int(n)) for name, n in zip(names, np.bincount(named, minlength=len(names)), strict=True)]
    there = [name for name, n in other if n]
    other = sorted((o for o in other if o[0] not in counted and o[1]), key=lambda o: (-o[1], o[0]))
    shown = ", ".join(f"{name} ({n})" for name, n in other[:8]) + (" …" if len(other) > 8 else "")
    if there and not any(name in counted for name in there):
        raise TableError(
            f"annotations: none of the {len(named)} findings is of a counted disease; found: {shown}; counted: "
            f"{', '.join(counted)}. Was the table made with another ontology? Set `score.diseases`."
        )
    return (f"findings that the score does not count: {shown}",) if other else ()
