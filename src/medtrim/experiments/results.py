"""A suite's results on disk: one Parquet table whose metadata says what was run, and the same as JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from medtrim.errors import TableError
from medtrim.experiments.breakdown import breakdown
from medtrim.experiments.collect import UNSEEN_KINDS, collect, read_evaluations
from medtrim.experiments.load import PATHS
from medtrim.experiments.resolve import training_config
from medtrim.experiments.rows import ROWS, Key, Row, headline_keys, read_rows, write_rows
from medtrim.experiments.run_suite import SuiteRun
from medtrim.experiments.runner import RESULT
from medtrim.training import TrainConfig
from medtrim.training.prepare import model_config
from medtrim.types import Provenance, medtrim_version
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.tables import provenance_of, read_table

TABLE, JSON = "results.parquet", "results.json"
_PACKAGES = ("torch", "transformers", "numpy", "scikit-learn")


@dataclass(frozen=True)
class SuiteResults:
    """Rows and what they are of.

    `facts` is plain data: name, title, ours, rivals, methods, seeds, headline, corpus, evaluation, tuning, search,
    failures, runs, suite, from_scratch, labels_left_out, versions.
    """

    rows: tuple[Row, ...]
    facts: Mapping[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods with at least one finished run, in the suite's order."""
        held = {row.method for row in self.rows if row.kind == "pooled"}
        return tuple(m for m in self.facts["order"] if m in held)

    @property
    def headline(self) -> tuple[Key, ...]:
        """The figures of the main table."""
        return tuple(Key(**fields) for fields in self.facts["headline"])

    def label(self, method: str) -> str:
        """What a reader sees for `method`."""
        return str(self.facts["methods"].get(method, {}).get("label", method))

    def of(self, kind: str) -> list[Row]:
        """The rows of one kind."""
        return [row for row in self.rows if row.kind == kind]

    def pooled(self, method: str, key: Key) -> Row | None:
        """A method's figure over all seeds."""
        return self._pooled.get((method, key))

    @cached_property
    def _pooled(self) -> dict[tuple[str, Key], Row]:
        return {(row.method, row.key): row for row in self.rows if row.kind == "pooled"}

    @property
    def unseen(self) -> SuiteResults | None:
        """The same of the unseen studies: their figures are pooled, differences and best; None without any."""
        kinds = {after: before for before, after in UNSEEN_KINDS.items()}
        rows = tuple(replace(row, kind=kinds[row.kind]) for row in self.rows if row.kind in kinds)
        return SuiteResults(rows, {**self.facts, "corpus": self.facts["unseen"]}) if rows else None


def gather(done: SuiteRun) -> SuiteResults:
    """The results of a suite's finished runs.

    Raises:
        TableError: no run was finished, or runs were evaluated on different studies.
    """
    found = read_evaluations(done)
    if not found.finals:
        raise TableError("no run was finished: there is nothing to show")
    return SuiteResults((*collect(done.suite, found), *breakdown(done)), facts_of(done))


def facts_of(done: SuiteRun) -> dict[str, Any]:
    """What was run."""
    suite = done.suite
    finished = list(done.finished())
    trained = {run.spec.method: training_config(run.spec.training) for run, _ in reversed(finished)}
    return {
        "name": suite.name,
        "title": suite.heading,
        "ours": suite.ours,
        "rivals": list(suite.rivals),
        "order": list(suite.methods),  # the table's metadata sorts mappings by key
        "methods": {
            key: {
                "label": m.label,
                "description": m.description,
                "ablation_of": m.ablation_of or "",
                "tuning": m.tuning,
                "caution": m.caution,
                **(_batches_and_rates(trained[key]) if key in trained else {}),
            }
            for key, m in suite.methods.items()
        },
        "seeds": list(suite.seeds),
        "headline": [asdict(key) for key in headline_keys(suite)],
        "corpus": {
            "name": suite.data.name or ("phantoms" if suite.data.phantom else "studies"),
            "drawn": suite.data.phantom is not None,
            "reference": suite.data.reference,
            "fingerprint": done.corpus.fingerprint,
            "folds": suite.folds,
            **done.corpus.counts,
            **done.corpus.facts,
        },
        "unseen": done.unseen
        and {
            "name": suite.unseen.name if suite.unseen else "",
            "fingerprint": done.unseen.fingerprint,
            **done.unseen.counts,
            **done.unseen.facts,
        },
        "evaluation": suite.evaluation.model_dump(mode="json"),
        "tuning": suite.tuning.model_dump(mode="json") if suite.tuning else None,
        "search": [
            {
                "method": t.method,
                "trial": t.number,
                "point": dict(t.point),
                "score": None if math.isnan(t.score) else t.score,
                "error": t.error,
                "chosen": t.chosen,
            }
            for t in done.trials
        ],
        "failures": [{"run": o.job.title, "folder": o.job.folder.name, "error": o.error} for o in done.failures],
        "runs": _run_facts(done),
        "suite": _without_folders(suite.model_dump(mode="json")),
        "from_scratch": all(_from_scratch(config) for config in trained.values()),
        "labels_left_out": _left_out_everywhere(done),
        "versions": {
            "medtrim": medtrim_version(),
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def write_results(results: SuiteResults, out: Path) -> None:
    """Write `results.parquet` and `results.json` into `out`."""
    write_rows(results.rows, out / TABLE, Provenance("suite-results", config=results.facts))
    kept = [asdict(row) for row in results.rows if row.kind in ("pooled", "best", "sweep", "unseen", "unseen best")]
    write_json(out / JSON, {**results.facts, "rows": kept})


def read_results(out: Path) -> SuiteResults:
    """The results of the suite in folder `out`.

    Raises:
        TableError: there are none.
    """
    path = out / TABLE
    if not path.exists():
        raise TableError(f"{out} holds no results; run the suite first: medtrim experiment SUITE -o {out}")
    provenance = provenance_of(read_table(path, ROWS, table="results"))
    if provenance is None or provenance.kind != "suite-results":
        raise TableError(f"{path} is no table of suite results")
    return SuiteResults(read_rows(path), provenance.config)


def _without_folders(suite: dict[str, Any]) -> dict[str, Any]:
    """The suite with the names of the user's files alone: a page that is passed on must not show where they lie."""
    data = {k: Path(v).name if k in PATHS and v is not None else v for k, v in suite["data"].items()}
    return {**suite, "data": data}


def _batches_and_rates(config: TrainConfig) -> dict[str, Any]:
    """How a method's batches are sampled and at what peak rates it learns, as the page tells it."""
    rate = f"{config.optimizer.learning_rate:g}"
    if config.optimizer.matrices == "muon":
        rate = f"{config.optimizer.matrix_learning_rate:g} / {rate}"
    return {
        "sampler": config.batch.sampler,
        "normals": config.batch.normals,
        "batch": config.batch.size,
        "rates": rate,
    }


def _from_scratch(config: TrainConfig) -> bool:
    """Whether both encoders start from random weights."""
    built = model_config(config)
    return config.model.checkpoint is None and built.vision is None and built.text is None


def _run_facts(done: SuiteRun) -> dict[str, dict[str, float]]:
    """Means over each method's finished runs, seeds and folds: seconds, encodings, steps."""
    by_method: dict[str, list[dict[str, Any]]] = {}
    for run, outcome in done.finished():
        by_method.setdefault(run.spec.method, []).append(read_json(outcome.job.folder / RESULT))
    names = (
        "seconds",
        "cpu_seconds",
        "training_seconds",
        "evaluation_seconds",
        "encodings",
        "steps",
        "studies_per_second",
    )
    return {method: {name: _mean(facts, name) for name in names} for method, facts in by_method.items()}


def _left_out_everywhere(done: SuiteRun) -> list[str]:
    """Labels that no run could evaluate, be it on any fold."""
    left_out = [read_json(outcome.job.folder / RESULT)["labels_left_out"] for _, outcome in done.finished()]
    return [label for label in left_out[0] if all(label in labels for labels in left_out)] if left_out else []


def _mean(facts: Sequence[Mapping[str, Any]], name: str) -> float:
    values = [float(f[name]) for f in facts if f.get(name) is not None]
    return fmean(values) if values else 0.0
