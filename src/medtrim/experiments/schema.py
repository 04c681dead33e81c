"""The schema of an experiment suite; docs/experiments.md explains every key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from medtrim.data.corpus import Layout
from medtrim.data.raw import Patients

Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Scalar = bool | int | float | str
Direction = Literal["i2t", "t2i", "i2i", "t2t"]


class Section(BaseModel):
    """A part of a suite: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class PhantomData(Section):
    """A phantom corpus to draw, see `medtrim phantom`."""

    studies: int = Field(default=9000, ge=20)
    size: int = Field(default=64, ge=32)
    seed: int = Field(default=0, ge=0)
    world: str = "A"


class UnseenData(PhantomData):
    """Phantoms of another generator, on which the trained models are evaluated after all runs; no choice sees them.

    Attributes:
        name: what pages call them.
        world: B for validating, C for judging what is final.
    """

    name: str = "phantoms of another generator"
    studies: int = Field(default=2000, ge=20)
    world: str = "B"


class DataSection(Section):
    """What every method trains and is evaluated on: either `phantom` or `studies`.

    Attributes:
        name: what pages call the corpus.
        phantom: draw this corpus into the suite's folder.
        studies: a studies table; relative paths start from the suite file's folder.
        annotations: annotations table of it; without one the reports are read with the default ontology.
        image_root: folder that relative image paths start from, where it is not the table's.
        columns: field → column of the studies table, where the names differ from the usual ones.
        layout, patients, encoding: how the studies are read, as `medtrim.data.read_corpus` takes them.
        fractions, split_seed: the split by patient, where the table assigns none.
        reference: what evaluation takes for true: `truth`, the column of drawn findings that phantoms have;
            `test-truth`, the same for the test split, and elsewhere what the recogniser reads, as a user has it; or
            `annotations`, what the recogniser reads. Methods never see the truth.
    """

    name: str = ""
    phantom: PhantomData | None = None
    studies: Path | None = None
    annotations: Path | None = None
    image_root: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    layout: Layout = "auto"
    patients: Patients = "required"
    encoding: str = "utf-8"
    fractions: dict[str, float] = Field(default_factory=lambda: {"train": 0.7, "val": 0.1, "test": 0.2})
    split_seed: int = 0
    reference: Literal["truth", "test-truth", "annotations"] = "annotations"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.phantom is None) == (self.studies is None):
            raise ValueError("give either phantom or studies")
        return self


class StartSection(Section):
    """Encoders trained once, which all methods go on from; without this section they start from random weights.

    Attributes:
        phantom: the corpus to draw for it; another seed than the suite's own, or they share studies.
        objective: one that needs images and reports alone.
        options: of the objective.
        train: training keys laid over the suite's, such as `{steps: 2000}`.
        seed: of weights, batches and augmentation.
    """

    phantom: PhantomData = Field(default_factory=lambda: PhantomData(studies=30000, seed=1))
    objective: str = "clip"
    options: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)


class MethodSection(Section):
    """One method.

    Attributes:
        label: what tables call it.
        description: a sentence for the page.
        objective: name in `medtrim.objectives.OBJECTIVES`.
        options: of the objective.
        mining: a mining recipe (`medtrim mine`); the mined table then fills the batches.
        train: training keys laid over the suite's, such as `{optimizer: {learning_rate: 1e-3}}`.
        grid: dotted key → values to try. Keys are training keys (`optimizer.learning_rate`,
            `objective.options.margin`) or start with `mining.`; the first value of each is the default.
        ablation_of: key of the method that this one is a reduced form of; ablations stand in the tables, but are
            no other methods to be compared with.
        tuning: how its learning rates were chosen, for the page.
        caution: what was searched for this method and for no other, for the page.
    """

    label: str
    description: str = ""
    objective: str
    options: dict[str, Any] = Field(default_factory=dict)
    mining: dict[str, Any] | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, Annotated[tuple[Scalar | None, ...], Field(min_length=1)]] = Field(default_factory=dict)
    ablation_of: Key | None = None
    tuning: str = ""
    caution: str = ""


class TuningSection(Section):
    """The search, the same for every method: `trials` points of its grid, scored on the validation split.

    Attributes:
        trials: points a method; each method's grid must hold at least as many.
        seed: of the draw among a grid's points and of the trials' training runs.
        metrics: retrieval metrics whose mean over `directions` decides, higher is better.
        directions: which retrieval directions count.
    """

    trials: int = Field(default=6, ge=1)
    seed: int = Field(default=1000, ge=0)
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("disease P@10", "fine P@10", "attribute AUC")
    directions: Annotated[tuple[Direction, ...], Field(min_length=1)] = ("i2t", "t2i")


class EvaluationSection(Section):
    """How the final runs are evaluated.

    Attributes:
        resamples: of the patient-level bootstrap. Holm-corrected p-values cannot fall below 2 · comparisons / this.
        seed: of the bootstrap; one seed for all runs, which makes differences paired.
        seed_variation: `resampled` lets intervals of pooled figures include the variation between training
            seeds (`SeedPool`); `fixed` leaves it out: they are then of the trained models alone.
        zero_shot: prompt classification.
        probes: shares of the training studies that linear probes are fitted on.
        test: name of the test split.
        validation: name of the validation split.
        train: name of the training split.
        limit: evaluate on the first so many studies of a split (0: all); for quick looks only.
        prior: how much the frequency of a reading counts where images look for reports
            (`medtrim.evaluation.report_prior`); for every method alike.
    """

    resamples: int = Field(default=2000, ge=1)
    seed: int = Field(default=0, ge=0)
    seed_variation: Literal["resampled", "fixed"] = "resampled"
    zero_shot: bool = True
    probes: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.01, 0.1, 1.0)
    test: str = "test"
    validation: str = "val"
    train: str = "train"
    limit: int = Field(default=0, ge=0)
    prior: float = Field(default=0.0, ge=0, le=1)


class CurveSection(Section):
    """Retrieval on some validation studies while training, for the learning curves.

    Attributes:
        every: training steps between two points; 0 is off.
        points: instead, how many points a curve has, spread evenly over the training.
        studies: at most so many studies of the validation split.
    """

    every: int = Field(default=0, ge=0)
    points: int = Field(default=0, ge=0)
    studies: int = Field(default=400, ge=10)


class AnnotationErrors(Section):
    """Mistakes put into the training annotations on purpose, as probabilities; evaluation keeps the right ones.

    Attributes:
        missed: a finding is lost.
        invented: a study gains a finding drawn from another study.
        descriptors: a descriptor is lost.
        sides: left and right of a finding are swapped.
        seed: of the draw.
    """

    missed: float = Field(default=0.0, ge=0, le=1)
    invented: float = Field(default=0.0, ge=0, le=1)
    descriptors: float = Field(default=0.0, ge=0, le=1)
    sides: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0)

    @property
    def any(self) -> bool:
        """Whether anything would change."""
        return bool(self.missed or self.invented or self.descriptors or self.sides)


class SweepSection(Section):
    """One sensitivity sweep: train a method again with other values of one or several keys.

    Attributes:
        title: heading of the chart.
        method: key of the method.
        keys: dotted keys that take each value of `values` at once; training keys, `mining.…` or `errors.…`.
        values: numbers, drawn along the chart's x-axis.
        set: further keys held at one value throughout.
        seeds: training seeds; the first of the suite's where absent.
    """

    title: str
    method: Key
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    values: Annotated[tuple[float, ...], Field(min_length=2)]
    set: dict[str, Scalar] = Field(default_factory=dict)
    seeds: tuple[int, ...] = ()


class PageSection(Section):
    """What the page shows besides tables.

    Attributes:
        gallery: queries drawn at random, with the first answers of every method.
        failures: queries that `ours` answers worst.
        map_studies: studies on the map of embeddings.
        published: explain the published objective, with what the triplets mined from the training split hold.
    """

    gallery: int = Field(default=0, ge=0)
    failures: int = Field(default=6, ge=0)
    map_studies: int = Field(default=300, ge=0)
    published: bool = False


class Suite(Section):
    """Methods × seeds on the same corpus, backbone, number of study encodings, schedule and tuning budget.

    Attributes:
        name: of the suite.
        title: heading of the page.
        data: the corpus.
        train: training recipe of all methods (`medtrim train`), without data, out, objective and seed.
        start: encoders that all methods go on from, trained once; random weights where absent.
        methods: key → method, in the tables' order.
        ours: the method that is compared with the best other one.
        seeds: of the final runs.
        folds: cross-validation by patient: every patient is tested once, by a model trained on the other folds, and
            figures are pooled over the folds. The table's own splits do not count then, nor the test share of
            `data.fractions`; the other shares divide what is not in the fold.
        tuning: the search; absent, methods run as they are written.
        evaluation: how final runs are evaluated.
        curve: validation while training.
        unseen: a second corpus to evaluate the trained models on; it needs `keep_models`.
        sweeps: sensitivity sweeps.
        page: what the page shows.
        jobs: runs side by side.
        threads: CPU threads of each run.
        device: of evaluation (`cpu`, `cuda`); training takes a GPU where there is one.
        keep_models: keep the checkpoint of every final run.
        fit_batch: where the training split has fewer patients (or studies) than a batch holds, shrink the batch of
            all methods instead of failing.
        run_folders: `hash` keeps the runs of every configuration, in `runs/METHOD-HASH`; `method` keeps the newest,
            in `runs/METHOD`, which takes one seed and neither a search nor sweeps.
    """

    name: Key
    title: str = ""
    data: DataSection
    train: dict[str, Any] = Field(default_factory=dict)
    start: StartSection | None = None
    methods: Annotated[dict[Key, MethodSection], Field(min_length=1)]
    ours: Key
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    folds: Annotated[int, Field(ge=2)] | None = None
    tuning: TuningSection | None = None
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    curve: CurveSection = Field(default_factory=CurveSection)
    unseen: UnseenData | None = None
    sweeps: tuple[SweepSection, ...] = ()
    page: PageSection = Field(default_factory=PageSection)
    jobs: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    device: str = "cpu"
    keep_models: bool = True
    fit_batch: bool = False
    run_folders: Literal["hash", "method"] = "hash"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        named = [("ours", self.ours), *((f"sweep {s.title!r}", s.method) for s in self.sweeps)]
        named += [(f"methods.{k}.ablation_of", m.ablation_of) for k, m in self.methods.items() if m.ablation_of]
        for what, key in named:
            if key not in self.methods:
                raise ValueError(f"{what} names the method {key!r}; methods: {', '.join(self.methods)}")
        if self.start and self.data.phantom and self.start.phantom.seed == self.data.phantom.seed:
            raise ValueError(
                f"start.phantom and data.phantom have one seed, {self.data.phantom.seed}: the start would see "
                "studies that methods are evaluated on"
            )
        if self.unseen is not None and not self.keep_models:
            raise ValueError("unseen evaluates the trained models: it needs keep_models: true")
        if self.unseen is not None and self.folds:
            raise ValueError("unseen takes no folds: each of their models is trained on other patients")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds repeat: {', '.join(map(str, self.seeds))}")
        if self.run_folders == "method" and (len(self.seeds) > 1 or self.folds or self.tuning or self.sweeps):
            raise ValueError(
                "run_folders: method takes one seed, no folds, no tuning and no sweeps: it has one folder a method"
            )
        if self.folds and self.tuning:
            raise ValueError(
                "folds take no tuning, whose validation studies are tested in another fold: search in a suite "
                "without folds, on other studies, and write the chosen settings down"
            )
        if self.folds and not self.data.fractions.get(self.evaluation.train, 0.0) > 0:
            raise ValueError(f"folds need a share for {self.evaluation.train!r} in data.fractions")
        return self

    @property
    def rivals(self) -> tuple[str, ...]:
        """The methods that `ours` is compared with: all others but ablations."""
        return tuple(k for k, m in self.methods.items() if k != self.ours and m.ablation_of is None)

    @property
    def heading(self) -> str:
        """Title of the page."""
        return self.title or f"Experiment suite {self.name}"
