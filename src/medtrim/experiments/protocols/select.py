"""Which studies of a table a protocol is about: one rule after the other, each counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medtrim.errors import TableError
from medtrim.experiments.protocols.manifest import Entry, Manifest
from medtrim.experiments.protocols.schema import Protocol
from medtrim.types import Study


def select(protocol: Protocol, studies: Sequence[Study]) -> Manifest:
    """The manifest of `protocol` on `studies`; the same table gives the same manifest, whatever its order.

    Raises:
        TableError: a label column is missing, a class has too few studies, or nothing is left.
    """
    ordered = sorted(studies, key=lambda s: s.study_id)
    counts = {"studies": len(ordered)}
    allowed = {view.upper() for view in protocol.views}
    kept = [s for s in ordered if not allowed or s.view.upper() in allowed]
    counts["left out by view"] = len(ordered) - len(kept)
    parts = {"evaluated": protocol.splits, "train": protocol.train_splits}
    entries: list[Entry] = []
    texts: dict[str, int] = {}
    for part, splits in parts.items():
        if part == "train" and not splits:
            continue
        chosen = [s for s in kept if not splits or s.split in splits]
        counts[f"{part}: of the splits"] = len(chosen)
        entries += _part(protocol, part, chosen, texts, counts)
    if not entries:
        raise TableError(f"protocol {protocol.name}: no study is left; {_said(counts)}")
    return Manifest(protocol, tuple(entries), counts)


def text_of(study: Study, protocol: Protocol) -> str:
    """The text that the protocol retrieves."""
    return str(getattr(study, protocol.text)).strip()


def normalised(text: str) -> str:
    """What makes two texts the same: case and white space aside."""
    return " ".join(text.casefold().split())


def classes_of(study: Study, protocol: Protocol) -> tuple[str, ...]:
    """The positive classes of a study, in the protocol's order.

    Raises:
        TableError: the table lacks a label column.
    """
    labels = protocol.labels
    if labels is None:
        return ()
    if labels.listed_in:
        words = str(_label(study, labels.listed_in) or "").split(labels.separator)
        present = {normalised(word) for word in words}
        return tuple(name for name, called in labels.names.items() if normalised(called) in present)
    return tuple(name for name, column in labels.columns.items() if _positive(study, column, protocol))


def _part(
    protocol: Protocol, part: str, studies: list[Study], texts: dict[str, int], counts: dict[str, int]
) -> list[Entry]:
    if protocol.task != "linear-probe":
        counts[f"{part}: without text"] = sum(not text_of(s, protocol) for s in studies)
        studies = [s for s in studies if text_of(s, protocol)]
    if protocol.exclusive:
        alone = [s for s in studies if _exclusive(s, protocol)]
        counts[f"{part}: not exactly one positive class"] = len(studies) - len(alone)
        studies = alone
    if protocol.one_per_patient:
        first: dict[str, Study] = {}
        for study in studies:
            first.setdefault(study.patient_id or study.study_id, study)
        counts[f"{part}: further studies of a patient"] = len(studies) - len(first)
        studies = list(first.values())
    if protocol.per_class and part == "evaluated":
        studies = _drawn(protocol, studies)
    return [
        Entry(
            s.study_id,
            part,
            classes_of(s, protocol),
            texts.setdefault(normalised(text_of(s, protocol)), len(texts)),
        )
        for s in studies
    ]


def _exclusive(study: Study, protocol: Protocol) -> bool:
    """Exactly one of the protocol's classes is positive, and nothing that competes with it."""
    others = [
        c for name, c in protocol.competing.items() if protocol.labels and name not in protocol.labels.columns
    ]
    return len(classes_of(study, protocol)) == 1 and not any(_positive(study, c, protocol) for c in others)


def _drawn(protocol: Protocol, studies: list[Study]) -> list[Study]:
    """`per_class` studies of each class; a study with several classes counts for its first."""
    classes = protocol.labels.classes if protocol.labels else ()
    rng = np.random.default_rng(protocol.seed)
    chosen: list[Study] = []
    for name in classes:
        of_class = [s for s in studies if classes_of(s, protocol)[:1] == (name,)]
        if len(of_class) < protocol.per_class:
            raise TableError(
                f"protocol {protocol.name}: "
                f"class {name!r} has {len(of_class)} studies, {protocol.per_class} are needed"
            )
        rows = np.sort(rng.choice(len(of_class), protocol.per_class, replace=False))
        chosen += [of_class[i] for i in rows]
    return sorted(chosen, key=lambda s: s.study_id)


def _positive(study: Study, column: str, protocol: Protocol) -> bool:
    value = _label(study, column)
    if value is None or value != value:
        return False
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    labels = protocol.labels
    return str(value).strip().casefold() in (labels.positive if labels else ())


def _label(study: Study, column: str) -> object:
    """A label column's value; names are compared without case, blanks and underscores, as tables spell them."""
    wanted = _plain(column)
    for name, value in study.labels.items():
        if _plain(name) == wanted:
            return value
    raise TableError(f"study {study.study_id!r} has no label column {column!r}; found: {_found(study.labels)}")


def _found(labels: Mapping[str, object]) -> str:
    return ", ".join(labels) or "none"


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
