"""What one comparison of methods measured: the structure that the report, the tables and the JSON are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medtrim.evaluation.agreement import FindingMark
from medtrim.experiments.mining_facts import MiningFacts

Queries = Literal["abnormal", "normal", "all"]
DIRECTIONS: tuple[str, ...] = ("image→text", "text→image", "image→image", "text→text")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its 95 % interval.

    `method` is a method's key; where `baseline` is set the value is the paired difference method − baseline.
    `task` is `retrieval`, `zero-shot` or `probe`; `target` is what a classification figure is about, such as
    `mean` or `pleural effusion`; `low` and `high` are nan where no interval can be made; `n` counts the queries
    (or studies) behind the number.
    """

    task: str
    method: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    baseline: str = ""
    queries: Queries = "all"
    direction: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """One training curve: `values[i]` of `name` (a loss term or a validation figure) after `steps[i]` updates."""

    method: str
    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """One trained method. `key` is a file name's worth of text; `label` is what a reader sees.

    `sampler` says how its batches are filled (`shuffle` or `triplets`), `normals` what share of the
    normal studies an epoch deals, `tuning` how its learning rate was chosen, `caution` what was searched for this
    method alone.
    """

    key: str
    label: str
    description: str
    seconds: float
    encodings: int
    facts: Mapping[str, str] = field(default_factory=dict)
    sampler: str = "shuffle"
    normals: float = 1.0
    tuning: str = ""
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was trained and judged on. Counts are of studies; `drawn` is true of phantoms."""

    name: str
    drawn: bool
    train: int
    validation: int
    test: int
    test_patients: int
    test_normal: int
    rejects: int


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long a stage took, in seconds; `reused` where an earlier run had finished it already."""

    name: str
    seconds: float
    reused: bool = False


@dataclass(frozen=True, slots=True)
class GalleryStudy:
    """One study of the gallery: a data URI of its image, its report and marked findings, and where it ranked."""

    study_id: str
    image: str
    findings: str
    impression: str
    marks: tuple[FindingMark, ...]
    missing: tuple[str, ...] = ()
    similarity: float | None = None
    own: bool = False

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What conflicts with the query, each named once."""
        return tuple(dict.fromkeys(c for mark in self.marks for c in mark.conflicts))


@dataclass(frozen=True, slots=True)
class GalleryQuery:
    """A query and the top of every method's ranking (method key → studies, best first)."""

    direction: str
    query: GalleryStudy
    retrieved: Mapping[str, tuple[GalleryStudy, ...]]


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One embedding on the map: coordinates in [0, 1], modality, disease class, findings in words."""

    x: float
    y: float
    modality: Literal["image", "text"]
    disease: str
    words: str


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """A plane map of one method's embeddings. `gap` is the distance between the modalities' centroids."""

    method: str
    points: tuple[MapPoint, ...]
    technique: str
    gap: float
    effective_rank: float


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a report shows. `ours` and `baseline` are the keys of the two methods compared first;
    `from_scratch` says that the encoders started from random weights; `facts` (name → words) are counted on the
    way; `labels_left_out` are classes too rare in the test split to be judged; `mining` is counted in the triplets.
    """

    title: str
    corpus: Corpus
    methods: tuple[Method, ...]
    ours: str
    baseline: str
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    gallery: tuple[GalleryQuery, ...] = ()
    maps: tuple[EmbeddingMap, ...] = ()
    timings: tuple[StageTime, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    command: str = ""
    created: str = ""
    from_scratch: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)
    labels_left_out: tuple[str, ...] = ()
    mining: MiningFacts | None = None

    def label(self, key: str) -> str:
        """What a reader sees for the method `key`."""
        return next((m.label for m in self.methods if m.key == key), key)
