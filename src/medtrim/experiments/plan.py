"""From a suite to the list of its runs: pure, so the same suite always plans the same runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np

from medtrim.errors import ConfigError
from medtrim.experiments.load import under, without
from medtrim.experiments.resolve import annotation_errors, resolved_training
from medtrim.experiments.schema import Suite, SweepSection
from medtrim.mining.recipe import read_recipe
from medtrim.types import medtrim_version
from medtrim.types.jsonfile import digest
from medtrim.types.settings import merge, nested

Role = Literal["search", "final", "sweep"]
Split = Literal["validation", "test"]
# Raised when the meaning of a run's results changes, so that older ones are not taken for finished.
FORMAT = 2


@dataclass(frozen=True)
class RunSpec:
    """One training run and its evaluation: everything its result depends on, besides the corpus.

    Attributes:
        method: key of the method; it names the folder and is no part of the identity.
        training: training recipe as plain data, without data and output folder.
        mining: mining recipe whose triplets fill the batches, or None.
        errors: mistakes to put into the training annotations, empty for none.
        split: that it is evaluated on.
        measures: how it is evaluated.
    """

    method: str
    training: Mapping[str, Any]
    mining: Mapping[str, Any] | None
    errors: Mapping[str, Any]
    split: Split
    measures: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Training seed."""
        return int(self.training["seed"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `run.json` holds it."""
        return asdict(self)

    def digest(self, corpus: str) -> str:
        """16 hex digits of what the result depends on; `corpus` is the fingerprint of the data.

        Defaults are filled in first: a run that spells one out is the same run, and one whose default has changed
        since is another.
        """
        facts = {k: v for k, v in self.to_dict().items() if k != "method"} | {
            "training": resolved_training(self.training),
            "mining": None if self.mining is None else read_recipe(self.mining).to_dict(),
            "errors": annotation_errors(self.errors).model_dump(),
        }
        return digest({**facts, "corpus": corpus, "format": FORMAT, "medtrim": medtrim_version()})


@dataclass(frozen=True)
class PlannedRun:
    """A run and its role.

    Attributes:
        role: `search` evaluates a point of a method's grid on validation, `final` and `sweep` evaluate on test.
        point: dotted keys and the values this run gives them.
        trial: number of the point in the search; −1 elsewhere.
        sweep: number of the sweep; −1 elsewhere.
        x: value on the sweep's axis; NaN elsewhere.
        fold: that it is evaluated on, from 0; None without cross-validation.
    """

    role: Role
    spec: RunSpec
    point: Mapping[str, Any] = field(default_factory=dict)
    trial: int = -1
    sweep: int = -1
    x: float = float("nan")
    fold: int | None = None

    @property
    def title(self) -> str:
        """What progress shows."""
        what = {"search": f"trial {self.trial + 1}", "final": f"seed {self.spec.seed}", "sweep": f"at {self.x:g}"}
        fold = "" if self.fold is None else f", fold {self.fold + 1}"
        return f"{self.spec.method}, {what[self.role]}{fold}"

    @property
    def unit(self) -> tuple[str, str, int, int, str]:
        """What its folds have in common: role, method, seed, number of the sweep, value on its axis."""
        return self.role, self.spec.method, self.spec.seed, self.sweep, f"{self.x:g}"


def search_points(suite: Suite, method: str) -> tuple[dict[str, Any], ...]:
    """The points that the search tries: as many for every method.

    The first value of each key is the first point. Of a larger grid the rest is drawn without replacement.

    Raises:
        ConfigError: the grid has fewer points than the suite's trials, so that the search would be unequal.
    """
    if suite.tuning is None:
        return ()
    grid, trials = suite.methods[method].grid, suite.tuning.trials
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(points) < trials:
        raise ConfigError(
            f"methods.{method}.grid has {len(points)} point(s), the tuning has {trials} trials for every method"
        )
    if len(points) > trials:
        drawn = np.random.default_rng(suite.tuning.seed).choice(len(points) - 1, trials - 1, replace=False) + 1
        points = [points[0], *(points[i] for i in sorted(drawn.tolist()))]
    return tuple(points)


def plan_search(suite: Suite) -> list[PlannedRun]:
    """The runs of the search, trial by trial so that an early stop leaves methods equally searched."""
    if suite.tuning is None:
        return []
    tuning = suite.tuning
    measures = {"retrieval": list(tuning.directions), "resamples": 1, "seed": 0, **_common(suite)}
    points = {method: search_points(suite, method) for method in suite.methods}
    return [
        PlannedRun(
            "search",
            make_spec(suite, method, points[method][trial], tuning.seed, "validation", measures),
            point=points[method][trial],
            trial=trial,
        )
        for trial in range(tuning.trials)
        for method in suite.methods
    ]


def plan_final(suite: Suite, chosen: Mapping[str, Mapping[str, Any]]) -> list[PlannedRun]:
    """The runs that are reported: every method with every seed on every fold, then the sweeps.

    Args:
        chosen: method → the point that its search chose; methods that are absent run as they are written.
    """
    folds: Sequence[int | None] = range(suite.folds) if suite.folds else (None,)
    runs = []
    for seed, fold, method in product(suite.seeds, folds, suite.methods):
        point = chosen.get(method, {})
        spec = make_spec(suite, method, point, seed, "test", _measures(suite, fold))
        runs.append(PlannedRun("final", spec, point, fold=fold))
    for number, sweep in enumerate(suite.sweeps):
        for seed, x, fold in product(sweep.seeds or suite.seeds[:1], sweep.values, folds):
            point = {**chosen.get(sweep.method, {}), **sweep_point(sweep, x)}
            spec = make_spec(suite, sweep.method, point, seed, "test", _measures(suite, fold))
            runs.append(PlannedRun("sweep", spec, point, sweep=number, x=x, fold=fold))
    return runs


def sweep_point(sweep: SweepSection, x: float) -> dict[str, Any]:
    """The keys that `sweep` sets at `x`; whole numbers stay whole, since sizes are."""
    value = int(x) if float(x).is_integer() and not _is_rate(sweep) else float(x)
    return {**sweep.set, **dict.fromkeys(sweep.keys, value)}


def make_spec(
    suite: Suite, method: str, point: Mapping[str, Any], seed: int, split: Split, measures: Mapping[str, Any]
) -> RunSpec:
    """The run of `method` with `point`'s values in place of its own."""
    section = suite.methods[method]
    layers: list[Mapping[str, Any]] = []
    if suite.curve.every:
        layers.append({"evaluation": {"every": suite.curve.every}})
    layers.append(suite.train)
    if section.mining is not None:
        # Mined triplets say which studies come together; a share of the normals is for the other sampler.
        layers.append({"batch": {"sampler": "triplets", "normals": 1.0}})
    layers += [
        section.train,
        {"objective": {"name": section.objective, "options": section.options}},
        nested(without(point, ("mining", "errors"))),
        {"seed": seed, "threads": suite.threads},
    ]
    training: dict[str, Any] = {}
    for layer in layers:
        training = merge(training, layer)
    mining = None if section.mining is None else merge(section.mining, nested(under(point, "mining")))
    return RunSpec(method, training, mining, under(point, "errors"), split, measures)


def _common(suite: Suite) -> dict[str, Any]:
    return {
        "limit": suite.evaluation.limit,
        "reference": suite.data.reference,
        "curve_studies": suite.curve.studies if suite.curve.every else 0,
    }


def _measures(suite: Suite, fold: int | None) -> dict[str, Any]:
    section = suite.evaluation
    return {
        "retrieval": ["i2t", "t2i", "i2i", "t2t"],
        "resamples": section.resamples,
        # Folds have other patients: their draws must not depend on each other.
        "seed": section.seed + (fold or 0),
        "zero_shot": section.zero_shot,
        "probes": list(section.probes),
        **({"prior": section.prior} if section.prior else {}),
        **_common(suite),
    }


def _is_rate(sweep: SweepSection) -> bool:
    """Whether any value is broken, so that all of them are real numbers."""
    return any(not float(x).is_integer() for x in sweep.values)
