"""A checkpoint evaluated on the studies of a protocol's manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medtrim.errors import TableError
from medtrim.evaluation import Embeddings, Figure, PatientBootstrap, embed_studies, embed_texts, make_reference
from medtrim.evaluation.linear_probe import linear_probe
from medtrim.evaluation.prompts import disease_prompts, load_prompts
from medtrim.evaluation.result import plain_figure
from medtrim.experiments.protocols.manifest import Entry, Manifest
from medtrim.experiments.protocols.measures import (
    class_precision,
    merge_texts,
    text_recall,
    zero_shot_accuracy,
)
from medtrim.experiments.protocols.schema import Protocol
from medtrim.experiments.protocols.select import text_of
from medtrim.models import EncoderBundle
from medtrim.types import Annotation, Finding, Reject, Study
from medtrim.types.jsonfile import write_json
from medtrim.types.tables import Progress, no_progress


@dataclass(frozen=True)
class ProtocolResult:
    """What a checkpoint reached: figures with 95 % intervals by patient, and the studies without a usable image."""

    protocol: Protocol
    figures: tuple[Figure, ...]
    rejects: tuple[Reject, ...]
    studies: int

    def write(self, path: Path) -> None:
        """Write it as JSON, atomically; undefined numbers are null."""
        facts: dict[str, Any] = {
            "protocol": self.protocol.model_dump(mode="json"),
            "studies": self.studies,
            "rejects": [asdict(reject) for reject in self.rejects],
            "figures": [plain_figure(figure) for figure in self.figures],
        }
        write_json(path, facts)


def evaluate_protocol(
    manifest: Manifest,
    studies: Sequence[Study],
    bundle: EncoderBundle,
    *,
    root: Path | str,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ProtocolResult:
    """Embed the manifest's studies and measure what its protocol asks for.

    Args:
        studies: the table that the manifest was made from; others in it are left alone.
        root: folder that relative image paths start from.
        seed: of the bootstrap and of the probes' draws.

    Raises:
        TableError: a study of the manifest is not in the table, has no patient, or nothing is left to evaluate.
    """
    protocol = manifest.protocol
    known = {s.study_id: s for s in studies}
    missing = [e.study_id for e in manifest.entries if e.study_id not in known]
    if missing:
        raise TableError(
            f"{len(missing)} studies of the manifest are not in the table, the first is {missing[0]!r}"
        )
    wanted = [known[e.study_id] for e in manifest.entries]
    # A model reads findings and impression joined; here it reads the text that the protocol names and no other.
    shown = [replace(s, findings=text_of(s, protocol), impression="") for s in wanted]
    embedded = embed_studies(bundle, shown, root=root, progress=progress)
    held = set(embedded.study_ids)
    entries = {part: [e for e in manifest.part(part) if e.study_id in held] for part in ("evaluated", "train")}
    evaluated = entries["evaluated"]
    if len(evaluated) < 2:
        raise TableError(f"protocol {protocol.name}: {len(evaluated)} studies have a usable image, two are needed")
    patients = [known[e.study_id].patient_id for e in evaluated]
    bootstrap = PatientBootstrap(patients, resamples=resamples, seed=seed)
    vectors = embedded.select([e.study_id for e in evaluated])
    if protocol.task == "linear-probe":
        figures = _probe(protocol, embedded, entries, known, bootstrap, seed)
    elif protocol.task == "class-retrieval":
        figures = _classes(protocol, vectors, evaluated, bundle, bootstrap)
    else:
        gallery = merge_texts(vectors, [e.text for e in evaluated], merge=protocol.merge_texts)
        figures = text_recall(vectors, gallery, bootstrap, cuts=protocol.cuts)
    return ProtocolResult(protocol, tuple(figures), embedded.rejects, len(evaluated))


def _classes(
    protocol: Protocol,
    vectors: Embeddings,
    evaluated: Sequence[Entry],
    bundle: EncoderBundle,
    bootstrap: PatientBootstrap,
) -> list[Figure]:
    names = protocol.labels.classes if protocol.labels else ()
    classes = np.array([names.index(e.classes[0]) for e in evaluated])
    figures = class_precision(
        vectors, classes, bootstrap, cuts=protocol.cuts, own_in_gallery=protocol.own_in_gallery
    )
    prompts = load_prompts()
    texts = {name: disease_prompts(prompts, name).positive for name in names}
    encoded = [embed_texts(bundle, list(texts[name])) for name in names]
    return [*figures, *zero_shot_accuracy(vectors.image, encoded, classes, names, bootstrap)]


def _probe(
    protocol: Protocol,
    embedded: Embeddings,
    entries: Mapping[str, Sequence[Entry]],
    known: Mapping[str, Study],
    bootstrap: PatientBootstrap,
    seed: int,
) -> list[Figure]:
    """`medtrim.evaluation.linear_probe` on the protocol's labels; `no finding` is the absence of them all."""
    names = protocol.labels.classes if protocol.labels else ()
    images, references, patients = {}, {}, {}
    for part, chosen in entries.items():
        images[part] = embedded.select([e.study_id for e in chosen]).image
        truth = [Annotation(e.study_id, tuple(Finding(c, "present") for c in e.classes)) for e in chosen]
        references[part] = make_reference(truth, diseases=names)
        patients[part] = [known[e.study_id].patient_id for e in chosen]
    if set(patients["train"]) & set(patients["evaluated"]):
        raise TableError(f"protocol {protocol.name}: a patient is in both the training and the evaluated studies")
    return linear_probe(
        images["train"],
        references["train"],
        patients["train"],
        images["evaluated"],
        references["evaluated"],
        bootstrap,
        fractions=protocol.fractions,
        seed=seed,
    )
