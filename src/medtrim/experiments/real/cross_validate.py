"""Every method on every fold, pooled: retrieval, zero-shot, and agreement with zone scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from medtrim.errors import ConfigError
from medtrim.evaluation import Embeddings, Figure, PatientBootstrap, read_embeddings
from medtrim.experiments.load import load_suite
from medtrim.experiments.real.fold_run import EMBEDDINGS, PROMPTED, UNTRAINED, ZONES, FoldJob, labels, run_fold
from medtrim.experiments.real.folds import Folds
from medtrim.experiments.real.out_of_fold import pooled_retrieval, pooled_zero_shot
from medtrim.experiments.real.pooling import PooledMethod, pool_method
from medtrim.experiments.real.results import Column, Findings
from medtrim.experiments.real.zones import ZoneJudge
from medtrim.experiments.schema import CurveSection, Suite
from medtrim.models.names import told_names
from medtrim.types import medtrim_version
from medtrim.types.settings import merge, nearest
from medtrim.types.tables import Progress, no_progress

Stage = Callable[[str], Progress]
NAME, ZONES_NAME = "cross-validation", "zones"
FEWEST_ZONED = 3  # images with zone scores, for there to be an order among others
BASELINE = "clip"
ADAMW: Mapping[str, Any] = {"optimizer": {"matrices": "adamw"}}
PIXELS, NOTES = "pixels", "notes"
OTHER_LABELS = {
    UNTRAINED: "Untrained network",
    PIXELS: "Pixels of the small image (nothing learned)",
    NOTES: "Meta-entity score of the notes (no image)",
}
_ARROWS = {"i2t": "i→t", "t2i": "t→i"}
COLUMNS = (
    *(
        Column(f"{metric} {arrow}", "retrieval", metric, direction, "abnormal")
        for metric in ("disease P@10", "fine P@10", "attribute AUC", "disease AUC")
        for direction, arrow in _ARROWS.items()
    ),
    Column("zero-shot AUROC", "zero-shot", "AUROC", label="macro"),
)
ZONE_COLUMNS = tuple(
    Column(f"{target}, {measure}", "retrieval", measure, "i2i", target, plain=measure == "spearman")
    for target in ("zones", "side", "severity")
    for measure in ("concordance", "spearman")
)


@dataclass(frozen=True)
class CrossValidation:
    """Settings.

    Attributes:
        methods: keys of the packaged suite `readme`; all of them when empty.
        seeds: of training.
        rates: learning rates that every method tries, the same for all.
        train: training keys laid over the suite's, such as steps and batch size; the same for all methods. AdamW
            trains the matrices too unless they say otherwise: the rates are of all weights.
        resamples, bootstrap_seed: of the patient-level bootstrap.
    """

    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    rates: tuple[float, ...] = (1e-3, 3e-3)
    train: Mapping[str, Any] = field(default_factory=dict)
    resamples: int = 2000
    bootstrap_seed: int = 0

    def suite(self) -> Suite:
        """The packaged suite with these training keys, on one thread, without learning curves.

        Raises:
            ConfigError: it has no such method.
        """
        suite = load_suite("readme")
        unknown = [m for m in self.methods if m not in suite.methods]
        if unknown:
            raise ConfigError(f"there is no method {unknown[0]!r}{nearest(unknown[0], suite.methods)}")
        if not self.seeds or not self.rates:
            raise ConfigError("cross-validation needs at least one seed and one learning rate")
        chosen = {key: suite.methods[key] for key in self.methods or suite.methods}
        changed = {
            "train": merge(merge(suite.train, ADAMW), self.train),
            "methods": chosen | _ours(suite),
            "curve": CurveSection(),
            "threads": 1,
        }
        return suite.model_copy(update=changed)


def _ours(suite: Suite) -> dict[str, Any]:
    """The suite's own method stays: the untrained network is described by its recipe."""
    return {suite.ours: suite.methods[suite.ours]}


def cross_validate(
    folds: Folds, settings: CrossValidation, folder: Path, *, stage: Stage = lambda _: no_progress
) -> tuple[Findings, Findings | None]:
    """Run what is not finished and pool it, on one thread of PyTorch, so that it repeats to the last bit.

    Returns:
        Retrieval and zero-shot; agreement with zone scores, None where fewer than `FEWEST_ZONED` images have any.

    Raises:
        ConfigError: several learning rates, but fewer than three folds.
        MedTrimError: whatever training raises; a second start goes on there.
    """
    suite = settings.suite()
    torch.set_num_threads(1)
    if len(settings.rates) > 1 and folds.count < 3:
        raise ConfigError("a search among learning rates needs three folds: to train, to choose and to test on")
    names = [*(settings.methods or suite.methods), UNTRAINED]
    jobs = [
        FoldJob(name, fold, seed, settings.rates)
        for seed in settings.seeds
        for fold in range(folds.count)
        for name in names
    ]
    report = stage("training")
    chosen: dict[str, list[float]] = {}
    for done, job in enumerate(jobs):
        report(done, len(jobs))
        found = run_fold(job, suite, folds, folder)
        if job.method != UNTRAINED:
            chosen.setdefault(job.method, []).append(float(found["rate"]))
    report(len(jobs), len(jobs))
    places = {
        name: [
            [job.place(suite, folds, folder) for job in jobs if (job.method, job.seed) == (name, s)]
            for s in settings.seeds
        ]
        for name in names
    }
    facts = {
        "settings": told_settings(settings),
        "folds": folds.count,
        "cohort": dict(folds.cohort.counts),
        "sizes": dict(sorted(Counter(s.split for s in folds.studies).items())),
        "notes without any finding": sum(not a.findings for a in folds.annotations),
        "rates chosen": {k: dict(Counter(f"{r:g}" for r in v)) for k, v in chosen.items()},
        "fingerprint": folds.fingerprint,
        "medtrim": medtrim_version(),
    }
    shown = {**{key: method.label for key, method in suite.methods.items()}, **OTHER_LABELS}
    main = _main_findings(folds, settings, places, shown, facts)
    return main, _zone_findings(folds, settings, places, shown, facts) if len(folds.zoned) >= FEWEST_ZONED else None


def told_settings(settings: CrossValidation) -> dict[str, Any]:
    """The settings as results tell them: of folders of this machine the last part, and no place of a file."""
    train = {key: value for key, value in settings.train.items() if key not in ("data", "out")}
    return {**asdict(settings), "train": told_names(train)}


def _main_findings(
    folds: Folds,
    settings: CrossValidation,
    places: Mapping[str, Sequence[Sequence[Path]]],
    shown: Mapping[str, str],
    facts: Mapping[str, Any],
) -> Findings:
    patients = [s.patient_id for s in folds.studies]
    bootstrap = PatientBootstrap(patients, resamples=settings.resamples, seed=settings.bootstrap_seed)
    methods: dict[str, PooledMethod] = {}
    for name, seeds in places.items():
        figures: list[list[Figure]] = []
        for listed in seeds:
            embedded = [read_embeddings(place / EMBEDDINGS) for place in listed]
            prompted = [_scores(place) for place in listed]
            figures.append(
                [*pooled_retrieval(embedded, folds, bootstrap), *pooled_zero_shot(prompted, folds, bootstrap)]
            )
        methods[name] = _pool(name, figures, folds, settings)
    count = folds.cohort.counts
    title = f"{count['studies']} studies of {count['patients']} patients, {folds.count} folds by patient"
    return Findings(NAME, title, methods, shown, [BASELINE, UNTRAINED], COLUMNS, facts)


def _zone_findings(
    folds: Folds,
    settings: CrossValidation,
    places: Mapping[str, Sequence[Sequence[Path]]],
    shown: Mapping[str, str],
    facts: Mapping[str, Any],
) -> Findings:
    judge = ZoneJudge(folds, resamples=settings.resamples, seed=settings.bootstrap_seed)
    figures = {
        name: [judge.by_vectors([_zone_vectors(p, judge, k) for k, p in enumerate(listed)]) for listed in seeds]
        for name, seeds in places.items()
    }
    figures |= {PIXELS: [judge.by_pixels()], NOTES: [judge.by_notes()]}
    methods = {name: _pool(name, found, folds, settings) for name, found in figures.items()}
    count = folds.cohort.counts
    images, patients = count["images with zone scores"], count["patients with zone scores"]
    title = f"{images} images of {patients} patients: agreement with zone scores"
    return Findings(ZONES_NAME, title, methods, shown, [UNTRAINED, BASELINE], ZONE_COLUMNS, facts)


def _pool(name: str, figures: Sequence[Sequence[Figure]], folds: Folds, settings: CrossValidation) -> PooledMethod:
    seed, seeds = settings.bootstrap_seed, len(settings.seeds)
    return pool_method(name, figures, fingerprint=folds.fingerprint, seed=seed, seeds=seeds)


def _zone_vectors(place: Path, judge: ZoneJudge, fold: int) -> Any:
    found: Embeddings = read_embeddings(place / ZONES)
    return found.select([judge.folds.zoned[i].study_id for i in judge.members(fold)]).image


def _scores(place: Path) -> dict[str, dict[str, float]]:
    import pyarrow.parquet as pq

    table = pq.read_table(place / PROMPTED)
    ids = table["study_id"].to_pylist()
    return {label: dict(zip(ids, table[label].to_pylist(), strict=True)) for label in labels()}
