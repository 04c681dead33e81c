"""The corpus of a suite, made ready once: studies, annotations, reference, image cache, fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medtrim.data import ImageCache, assign_folds, assign_splits, check_patient_overlap, read_corpus
from medtrim.data.images import Fit
from medtrim.data.phantom import make_corpus
from medtrim.entities import annotate_corpus, load_ontology, split_sections
from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.agreement import disease_states
from medtrim.evaluation.truth import annotations_of_column
from medtrim.experiments.schema import DataSection, PhantomData, Suite
from medtrim.models import load_checkpoint
from medtrim.training.prepare import model_config
from medtrim.types import DISEASES, Annotation, Provenance, Reject, Study, schemas
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.tables import (
    Progress,
    annotations_from_table,
    annotations_to_table,
    no_progress,
    provenance_of,
    read_studies,
    read_table,
    rejects_to_table,
    studies_to_table,
    write_table,
)

RECORD, STUDIES, PHANTOM = "corpus.json", "studies.parquet", "phantom"
Stage = Callable[[str], Progress]


@dataclass(frozen=True, slots=True)
class PreparedCorpus:
    """Where the parts of a suite's corpus lie, and what it is.

    Attributes:
        studies: studies table with a split each; image paths are absolute, or start from its folder.
        annotations: what the recogniser read, of the training split alone: methods are given nothing else. Of every
            study where there are folds, which have their own.
        reference: what evaluation takes for true, of every study.
        cache: folder of the image cache.
        image_root: folder that relative image paths start from.
        fingerprint: hash of the content: reports, splits, patients, annotations, reference, pixels.
        counts: studies, patients and normal studies by split, and rejects.
        facts: name and version of the ontology; for phantoms, from what share of the reports the recogniser reads
            the drawn diseases (`diseases_read_back`), and all their descriptors as well (`descriptors_read_back`).
        folds: with cross-validation, the same studies with the splits of each fold. Then every study of the whole
            is a test study, and `counts` has of the other splits the smallest number that a fold has.
    """

    studies: Path
    annotations: Path
    reference: Path
    cache: Path
    image_root: Path
    fingerprint: str
    counts: dict[str, int]
    facts: dict[str, Any]
    folds: tuple[PreparedCorpus, ...] = ()

    def of_fold(self, fold: int | None) -> PreparedCorpus:
        """The corpus of a fold; the whole where there are none."""
        return self if fold is None else self.folds[fold]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(replace(self, folds=())).items()}
        return {**plain, "folds": [fold.to_dict() for fold in self.folds]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreparedCorpus:
        """The inverse of `to_dict`."""
        paths = ("studies", "annotations", "reference", "cache", "image_root")
        given: dict[str, Any] = {k: Path(v) if k in paths else v for k, v in values.items()}
        return cls(**{**given, "folds": tuple(cls.from_dict(fold) for fold in values.get("folds", ()))})


def prepare_corpus(
    suite: Suite,
    out: Path,
    *,
    image_size: int,
    fit: Fit = "pad",
    equalize: bool = False,
    workers: int = 1,
    stage: Stage = lambda _: no_progress,
) -> PreparedCorpus:
    """Make the corpus of `suite` in folder `out`, or take the one that an earlier run made there of the same data.

    Args:
        image_size: side in pixels that the backbone reads.
        fit, equalize: how images are fitted into that square (`medtrim.data.load_square`).
        stage: name of a stage → its progress call.

    Raises:
        ConfigError: a split is empty that the suite cannot do without.
        TableError: the data cannot be read, the reference is missing, or there are fewer patients than folds.
    """
    out.mkdir(parents=True, exist_ok=True)
    sources = {str(p): content_digest(p) for p in (suite.data.studies, suite.data.annotations) if p is not None}
    wanted = {
        "data": suite.data.model_dump(mode="json"),
        "image_size": image_size,
        "fit": fit,
        "equalize": equalize,
        "splits": _splits(suite),
        "sources": sources,
        **({"folds": suite.folds} if suite.folds else {}),
    }
    held = read_json(out / RECORD)
    if held.get("wanted") == wanted and is_complete(held):
        return PreparedCorpus.from_dict(held["corpus"])
    if suite.data.phantom is not None:
        studies, root = draw_phantoms(suite.data.phantom, out, workers, stage)
        rejects: list[Reject] = []
    else:
        studies, rejects, root = _read(suite, out)
    placed = _folds(suite, studies) if suite.folds else [studies]
    for split in placed:
        _check_splits(suite, split)
    built = ImageCache.build(
        studies,
        root=root,
        size=image_size,
        path=out / "cache",
        fit=fit,
        equalize=equalize,
        workers=workers,
        progress=stage("image cache"),
    )
    rejects = [*rejects, *built.rejects]
    placed = [[s for s in split if s.study_id in built.cache] for split in placed]
    for split in placed:
        _check_splits(suite, split, having="readable image")
    annotations, made = _annotations(suite.data, placed[0], stage)
    write_table(rejects_to_table(rejects), out / "rejects.parquet", Provenance("rejects"))
    facts: dict[str, Any] = {"ontology": f"{made.ontology.name} {made.ontology.version}"} if made.ontology else {}
    truth = _truth(suite.data, out, placed[0]) if suite.data.reference != "annotations" else annotations
    if suite.data.phantom is not None and suite.data.annotations is None:
        facts |= read_back(annotations, _truth(suite.data, out, placed[0]))
    parts = Parts(suite, root, built.cache, annotations, made, truth, rejects=len(rejects), facts=facts)
    if suite.folds:
        folds = tuple(parts.write(split, out / f"fold-{i + 1}") for i, split in enumerate(placed))
        test = [replace(s, split=suite.evaluation.test) for s in placed[0]]
        corpus = replace(parts.write(test, out, known=annotations), folds=folds)
        least = {k: min(fold.counts[k] for fold in folds) for k in corpus.counts if not k.startswith("test")}
        corpus = replace(corpus, counts={**corpus.counts, **least})
    else:
        corpus = parts.write(placed[0], out)
    write_json(out / RECORD, {"wanted": wanted, "corpus": corpus.to_dict()})
    return corpus


@dataclass(frozen=True)
class Parts:
    """What the corpora of a suite have in common, one a fold: everything but the splits.

    `annotations` and `truth` are of the studies in their order, `made` says where the annotations come from.
    """

    suite: Suite
    root: Path
    cache: ImageCache
    annotations: Sequence[Annotation]
    made: Provenance
    truth: Sequence[Annotation]
    rejects: int
    facts: dict[str, Any]

    def write(
        self, studies: Sequence[Study], out: Path, *, known: Sequence[Annotation] | None = None
    ) -> PreparedCorpus:
        """The corpus of `studies`, which have the splits, in folder `out`.

        Args:
            known: annotations that methods are given; those of the training split by default.
        """
        out.mkdir(exist_ok=True)
        reference = self._reference(studies)
        if known is None:
            training = {s.study_id for s in studies if s.split == self.suite.evaluation.train}
            known = [a for a in self.annotations if a.study_id in training]
        paths = {name: out / f"{name}.parquet" for name in ("studies", "annotations", "reference")}
        write_table(annotations_to_table(known), paths["annotations"], self.made)
        provenance = Provenance("reference", ontology=self.made.ontology, extra=self.made.extra)
        write_table(annotations_to_table(reference), paths["reference"], provenance)
        write_table(studies_to_table(studies), paths["studies"], Provenance("studies"))
        return PreparedCorpus(
            paths["studies"],
            paths["annotations"],
            paths["reference"],
            cache=self.cache.path,
            image_root=self.root,
            fingerprint=fingerprint(studies, self.annotations, reference, self.cache),
            counts=_counts(self.suite, studies, reference, self.rejects),
            facts=self.facts,
        )

    def _reference(self, studies: Sequence[Study]) -> Sequence[Annotation]:
        """What evaluation takes for true, of each of `studies` in their order."""
        if self.suite.data.reference != "test-truth":
            return self.truth
        test = self.suite.evaluation.test
        rows = zip(studies, self.truth, self.annotations, strict=True)
        return [t if s.split == test else a for s, t, a in rows]


def _folds(suite: Suite, studies: Sequence[Study]) -> list[list[Study]]:
    """`studies` with the splits of each fold: its patients are the test split, the others share the rest."""
    data, section, count = suite.data, suite.evaluation, suite.folds or 0
    fold_of = assign_folds(studies, folds=count, seed=data.split_seed)
    shares = {name: share for name, share in data.fractions.items() if name != section.test and share > 0}
    fractions = {name: share / sum(shares.values()) for name, share in shares.items()}
    placed = []
    for fold in range(count):
        rest = [s for s, own in zip(studies, fold_of, strict=True) if own != fold]
        # Another draw for each fold, or the same patients would be for validation in all of them.
        drawn = assign_splits(rest, fractions=fractions, seed=data.split_seed + 1 + fold, overwrite=True)
        split_of = {s.study_id: s.split for s in drawn}
        placed.append([replace(s, split=split_of.get(s.study_id, section.test)) for s in studies])
    return placed


def image_size_of(training: Any) -> int:
    """The side in pixels that the backbone of a training configuration reads."""
    if training.model.checkpoint:
        return int(load_checkpoint(training.model.checkpoint).image_size)
    return int(model_config(training).image_size)


def fingerprint(
    studies: Sequence[Study], annotations: Sequence[Annotation], reference: Sequence[Annotation], cache: ImageCache
) -> str:
    """16 hex digits of everything that can change a result; paths are no part of it."""
    sums = {e.study_id: e.pixel_crc32 for e in cache.entries() if e.position == 0}
    digest = hashlib.sha256()
    for study in sorted(studies, key=lambda s: s.study_id):
        facts = (study.study_id, study.patient_id, study.split, study.findings, study.impression)
        digest.update(json.dumps([*facts, sums[study.study_id]], ensure_ascii=False).encode())
    for annotation in (*annotations, *reference):
        findings = [(f.disease, f.assertion, f.adjectives, f.directions) for f in annotation.findings]
        digest.update(json.dumps([annotation.study_id, findings], ensure_ascii=False).encode())
    return digest.hexdigest()[:16]


def read_reports(studies: Sequence[Study], stage: Stage) -> tuple[list[Annotation], Provenance]:
    """What the recogniser reads in the reports, with the default ontology."""
    ontology = load_ontology()
    found = list(annotate_corpus(list(studies), ontology=ontology, progress=stage("reading reports")))
    axes = {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()}
    return found, Provenance("annotations", ontology=ontology.ref, extra={"contradictions": axes})


def draw_phantoms(phantom: PhantomData, out: Path, workers: int, stage: Stage) -> tuple[list[Study], Path]:
    """Draw a corpus into `out/phantom`: its studies without the truth, and the folder of their images."""
    make_corpus(
        phantom.studies,
        out / PHANTOM,
        seed=phantom.seed,
        size=phantom.size,
        world=phantom.world,
        workers=workers,
        progress=stage("drawing phantoms"),
    )
    # The truth is for the reference alone: the table that methods see does not have it.
    studies = [
        replace(s, labels={}, images=tuple(f"{PHANTOM}/{image}" for image in s.images))
        for s in read_studies(out / PHANTOM / STUDIES)
    ]
    return studies, out


def _read(suite: Suite, out: Path) -> tuple[list[Study], list[Reject], Path]:
    data = suite.data
    source = data.studies or out
    root = data.image_root or (source if source.is_dir() else source.parent)
    reading = read_corpus(
        source,
        split_sections=split_sections,
        layout=data.layout,
        columns=data.columns or None,
        image_root=root,
        patients=data.patients,
        encoding=data.encoding,
    )
    if not any(s.images for s in reading.studies):
        raise TableError(f"{source.name}: no study has an image; name the column of the image paths (images)")
    studies = [replace(s, labels={}) for s in reading.studies if s.report]
    empty = [Reject(s.study_id, source.name, "the report is empty") for s in reading.studies if not s.report]
    if not suite.folds:
        if not all(s.split for s in studies):
            studies = list(assign_splits(studies, fractions=data.fractions, seed=data.split_seed))
        check_patient_overlap(studies)
    return studies, [*reading.rejects, *empty], root


def _annotations(data: DataSection, studies: Sequence[Study], stage: Stage) -> tuple[list[Annotation], Provenance]:
    if data.annotations is None:
        return read_reports(studies, stage)
    table = read_table(data.annotations, schemas.ANNOTATIONS, table="annotations")
    known = {a.study_id: a for a in annotations_from_table(table)}
    return _of_every(studies, known, "annotations"), provenance_of(table) or Provenance("annotations")


def _truth(data: DataSection, out: Path, studies: Sequence[Study]) -> list[Annotation]:
    """The drawn findings of each of `studies`, which the studies table has in its column `truth`."""
    source = out / PHANTOM / STUDIES if data.phantom is not None else data.studies
    if source is None or source.suffix != ".parquet":
        raise TableError("data.reference is truth, but only a Parquet studies table can hold a truth column")
    known = {a.study_id: a for a in annotations_of_column(source, "truth")}
    return _of_every(studies, known, "truth")


def read_back(read: Sequence[Annotation], drawn: Sequence[Annotation]) -> dict[str, float]:
    """Shares of the reports from which the drawn diseases are read, and those with every descriptor.

    `read` and `drawn` are of the same studies in the same order; diseases outside the label set do not count.
    """
    pairs = [(_states(ours), _states(theirs)) for ours, theirs in zip(read, drawn, strict=True)]
    same = sum(ours.keys() == theirs.keys() for ours, theirs in pairs)
    exact = sum(ours == theirs for ours, theirs in pairs)
    return {"diseases_read_back": same / len(pairs), "descriptors_read_back": exact / len(pairs)}


def _states(annotation: Annotation) -> dict[str, tuple[str, ...]]:
    """Disease → descriptors."""
    return {s.disease: s.descriptors for s in disease_states(annotation.findings) if s.disease in DISEASES}


def _of_every(studies: Sequence[Study], known: dict[str, Annotation], table: str) -> list[Annotation]:
    missing = [s.study_id for s in studies if s.study_id not in known]
    if missing:
        raise TableError(f"{table}: {len(missing)} studies are not in it, the first is {missing[0]!r}")
    return [known[s.study_id] for s in studies]


def _splits(suite: Suite) -> list[str]:
    section = suite.evaluation
    return [section.train, section.validation, section.test]


def _check_splits(suite: Suite, studies: Sequence[Study], *, having: str = "") -> None:
    """See that there are studies in every split that the suite cannot do without.

    An empty validation split is allowed where nothing is searched: there are no learning curves then, and the
    thresholds of zero-shot F1 are not tuned.

    Raises:
        ConfigError: such a split is empty; the message says what to do.
    """
    section = suite.evaluation
    purposes = {section.train: "to train on", section.test: "to evaluate the methods on"}
    if suite.tuning is not None:
        purposes[section.validation] = "to search on"
    found = Counter(s.split for s in studies)
    for split, purpose in purposes.items():
        if not found[split]:
            which = f" with a {having}" if having else ""
            there = ", ".join(f"{name} {count}" for name, count in sorted(found.items()) if name)
            raise ConfigError(
                f"no study{which} in the {split} split, {purpose} ({there or 'no study has a split'}). Give "
                f"studies of some patients the split {split!r}; or, where the table has no splits, a larger share "
                "(--split) or more patients"
            )


def _counts(
    suite: Suite, studies: Sequence[Study], reference: Sequence[Annotation], rejects: int
) -> dict[str, int]:
    normal = {a.study_id for a in reference if not any(f.assertion != "absent" for f in a.findings)}
    counts = {"rejects": rejects}
    for name, split in zip(("train", "validation", "test"), _splits(suite), strict=True):
        chosen = [s for s in studies if s.split == split]
        counts |= {
            name: len(chosen),
            f"{name}_patients": len({s.patient_id for s in chosen}),
            f"{name}_normal": sum(s.study_id in normal for s in chosen),
        }
    return counts


def is_complete(held: dict[str, Any]) -> bool:
    """Whether everything that the record names is still there."""
    return all(Path(held["corpus"][k]).exists() for k in ("studies", "annotations", "reference", "cache"))


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, of the names, sizes and times of everything below it."""
    total = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            facts = file.stat()
            total.update(f"{file.relative_to(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    elif path.exists():
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
