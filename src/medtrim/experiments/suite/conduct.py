"""A suite from its first run to its results: prepare, search, run, collect."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.experiments.suite.check import check_suite
from medtrim.experiments.suite.choose import Trial, chosen_points, judge_trials, write_search
from medtrim.experiments.suite.execute import RunTask
from medtrim.experiments.suite.plan import PlannedRun, plan_final, plan_search
from medtrim.experiments.suite.prepare import PreparedCorpus, image_size_of, prepare_corpus
from medtrim.experiments.suite.resolve import training_config
from medtrim.experiments.suite.runner import RESULT, Job, Outcome, Snapshot, outcome_facts, run_jobs
from medtrim.experiments.suite.schema import Suite
from medtrim.experiments.suite.start import prepare_start
from medtrim.experiments.suite.worker import TASK
from medtrim.types.jsonfile import write_json
from medtrim.types.tables import Progress, no_progress

RUNS, CORPUS, SEARCH, RECORD, LOCK = "runs", "corpus", "search.parquet", "suite.json", ".lock"


@dataclass(frozen=True)
class Watchers:
    """What is told of a suite's progress.

    Attributes:
        stage: name of a stage of the preparation → its progress call.
        runs: (phase, snapshot) while runs go on; phases are `search` and `runs`.
    """

    stage: Callable[[str], Progress] = lambda _: no_progress
    runs: Callable[[str, Snapshot], None] = lambda phase, snapshot: None


@dataclass(frozen=True)
class SuiteRun:
    """A suite after its runs: what was planned, how each ended, and the search before."""

    suite: Suite
    folder: Path
    corpus: PreparedCorpus
    trials: tuple[Trial, ...]
    runs: tuple[PlannedRun, ...]
    outcomes: tuple[Outcome, ...]
    search_outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The runs that failed, those of the search first."""
        return tuple(o for o in (*self.search_outcomes, *self.outcomes) if o.state == "failed")


def conduct(suite: Suite, out: Path, *, watchers: Watchers | None = None) -> SuiteRun:
    """Do every run of `suite` that has no result yet in folder `out`.

    Runs lie in `out/runs/METHOD-HASH`; the hash is of everything that the result depends on, so a changed suite
    runs again what it changes and nothing else. A run that fails is recorded and does not stop the others.

    Raises:
        ConfigError: the suite is wrong, or another process works in `out`.
        TableError: the corpus cannot be made.
    """
    watchers = watchers or Watchers()
    check_suite(suite)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        placed = prepare_start(suite, out, stage=watchers.stage)
        size = image_size_of(training_config(plan_final(placed, {})[0].spec.training))
        workers = suite.jobs * suite.threads
        corpus = prepare_corpus(suite, out / CORPUS, image_size=size, workers=workers, stage=watchers.stage)
        searched = plan_search(placed)
        search_outcomes = _run(suite, corpus, searched, out, lambda s: watchers.runs("search", s))
        trials: tuple[Trial, ...] = ()
        if suite.tuning is not None:
            trials = judge_trials(searched, search_outcomes, suite.tuning)
            write_search(trials, out / SEARCH, suite.tuning)
        runs = plan_final(placed, chosen_points(trials))
        outcomes = _run(suite, corpus, runs, out, lambda s: watchers.runs("runs", s))
        done = SuiteRun(suite, out, corpus, trials, tuple(runs), tuple(outcomes), tuple(search_outcomes))
        write_json(out / RECORD, record(done))
    return done


def run_folder(run: PlannedRun, corpus: PreparedCorpus, out: Path) -> Path:
    """The folder of a run."""
    return out / RUNS / run.spec.folder(corpus.fingerprint)


def record(done: SuiteRun) -> dict[str, Any]:
    """What was run, as plain data."""
    return {
        "suite": done.suite.model_dump(mode="json"),
        "corpus": done.corpus.to_dict(),
        "search": [outcome_facts(o) for o in done.search_outcomes],
        "runs": [
            {
                "role": r.role,
                "method": r.spec.method,
                "seed": r.spec.seed,
                "point": dict(r.point),
                **outcome_facts(o),
            }
            for r, o in zip(done.runs, done.outcomes, strict=True)
        ],
    }


def _run(
    suite: Suite,
    corpus: PreparedCorpus,
    runs: Sequence[PlannedRun],
    out: Path,
    watch: Callable[[Snapshot], None],
) -> list[Outcome]:
    """Run what is planned; planned runs that come to the same specification are one job."""
    splits = _splits(suite)
    folders = [run_folder(run, corpus, out) for run in runs]
    jobs: dict[Path, Job] = {}
    for run, folder in zip(runs, folders, strict=True):
        if folder in jobs:
            continue
        keep = suite.keep_models and run.role == "final"
        task = RunTask(run.spec, corpus, splits, device=suite.device, keep_model=keep)
        if not (folder / RESULT).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / TASK, task.to_dict())
        command = (sys.executable, "-m", "medtrim.experiments.suite.worker", str(folder))
        jobs[folder] = Job(run.title, folder, command)
    outcomes = run_jobs(list(jobs.values()), slots=suite.jobs, threads=suite.threads, watch=watch) if jobs else []
    by_folder = {o.job.folder: o for o in outcomes}
    return [by_folder[folder] for folder in folders]


def _splits(suite: Suite) -> Mapping[str, str]:
    section = suite.evaluation
    return {"train": section.train, "validation": section.validation, "test": section.test}


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Two processes in one folder would do every run twice and over each other."""
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another process runs a suite in {out}") from error
        yield
