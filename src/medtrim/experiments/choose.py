"""The search's record, and what it chose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtrim.evaluation import EvaluationResult, read_evaluation
from medtrim.experiments.execute import EVALUATION
from medtrim.experiments.load import under, without
from medtrim.experiments.plan import PlannedRun
from medtrim.experiments.runner import Outcome
from medtrim.experiments.schema import TuningSection
from medtrim.types import Provenance
from medtrim.types.settings import nested
from medtrim.types.tables import write_table


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the search: `score` is NaN where the run failed, and `error` says why."""

    method: str
    number: int
    point: Mapping[str, Any]
    score: float
    seconds: float
    error: str
    chosen: bool = False


def score_of(result: EvaluationResult, tuning: TuningSection) -> float:
    """The mean of the tuning's metrics over its directions, over validation queries with a finding.

    A metric that is undefined (attribute AUC where no two studies share their diseases, say) makes it NaN, so
    that no trial wins by leaving it out.
    """
    values = [
        result.figure(metric, direction=direction, queries="abnormal").value
        for metric in tuning.metrics
        for direction in tuning.directions
    ]
    return float(np.mean(values))


def score_trials(
    runs: Sequence[PlannedRun], outcomes: Sequence[Outcome], tuning: TuningSection
) -> tuple[Trial, ...]:
    """The search's record in the order of `runs`; of each method the best-scoring trial is the chosen one.

    The first of equal scores wins. Where every trial of a method failed, none is chosen.
    """
    trials = []
    for run, outcome in zip(runs, outcomes, strict=True):
        score, error = float("nan"), outcome.error
        if outcome.state != "failed":
            score = score_of(read_evaluation(outcome.job.folder / EVALUATION), tuning)
        trials.append(Trial(run.spec.method, run.trial, run.point, score, outcome.seconds, error))
    best: dict[str, Trial] = {}
    for trial in trials:
        held = best.get(trial.method)
        if trial.score == trial.score and (held is None or trial.score > held.score):
            best[trial.method] = trial
    return tuple(
        Trial(t.method, t.number, t.point, t.score, t.seconds, t.error, chosen=best.get(t.method) is t)
        for t in trials
    )


def chosen_points(trials: Sequence[Trial]) -> dict[str, Mapping[str, Any]]:
    """Method → the point that its search chose."""
    return {t.method: t.point for t in trials if t.chosen}


def write_search(trials: Sequence[Trial], path: Path, tuning: TuningSection) -> None:
    """Write the search's record as a table; `point` is JSON."""
    table = pa.table(
        {
            "method": pa.array([t.method for t in trials], pa.string()),
            "trial": pa.array([t.number for t in trials], pa.int64()),
            "point": pa.array([json.dumps(dict(t.point)) for t in trials], pa.string()),
            "score": pa.array([t.score for t in trials], pa.float64()),
            "seconds": pa.array([t.seconds for t in trials], pa.float64()),
            "error": pa.array([t.error for t in trials], pa.string()),
            "chosen": pa.array([t.chosen for t in trials], pa.bool_()),
        }
    )
    write_table(table, path, Provenance("search", config=tuning.model_dump(mode="json")))


def chosen_layers(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a search chose, as keys of a suite's methods: `train`, `options` and `mining`, nested.

    `facts` are those of the suite's results.
    """
    layers: dict[str, dict[str, Any]] = {}
    for trial in facts["search"]:
        if not trial["chosen"]:
            continue
        point = trial["point"]
        layer = {
            "train": nested(without(point, ("mining", "objective"))),
            "options": under(point, "objective.options"),
            "mining": nested(under(point, "mining")),
        }
        layers[trial["method"]] = {key: value for key, value in layer.items() if value}
    return layers
