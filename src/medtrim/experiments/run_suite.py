"""A suite from its first run to its results: prepare, search, run."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.experiments.check import check_suite
from medtrim.experiments.choose import Trial, chosen_points, score_trials, write_search
from medtrim.experiments.execute import RunTask
from medtrim.experiments.outputs import Outputs
from medtrim.experiments.plan import PlannedRun, plan_final, plan_search
from medtrim.experiments.prepare import RECORD as CORPUS_RECORD
from medtrim.experiments.prepare import PreparedCorpus, image_size_of, prepare_corpus
from medtrim.experiments.resolve import training_config
from medtrim.experiments.runner import RESULT, Job, Outcome, Snapshot, outcome_facts, run_jobs
from medtrim.experiments.schema import Suite
from medtrim.experiments.start import prepare_start, start_folder
from medtrim.experiments.unseen import UNSEEN, prepare_unseen, unseen_tasks
from medtrim.experiments.worker import TASK
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.settings import merge
from medtrim.types.tables import Progress, no_progress

RUNS, CORPUS, SEARCH, RECORD, LOCK, INDEX = "runs", "corpus", "search.parquet", "suite.json", ".lock", "index"
# What is written when the runs have ended.
REPORTS = ("results.parquet", "results.json", "report.html")


@dataclass(frozen=True)
class Callbacks:
    """What is called while a suite goes on.

    Attributes:
        stage: name of a stage of the preparation → its progress call.
        runs: (phase, snapshot) while runs go on; phases are `search`, `runs` and `unseen`.
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
    unseen: PreparedCorpus | None = None
    unseen_outcomes: tuple[Outcome, ...] = ()

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The runs that failed, those of the search first."""
        every = (*self.search_outcomes, *self.outcomes, *self.unseen_outcomes)
        return tuple(o for o in every if o.state == "failed")

    def finished(self) -> Iterator[tuple[PlannedRun, Outcome]]:
        """The final runs that ended well, in the order of the plan; with folds those of which every fold did."""
        for folds in self.units().values():
            yield from ((run, outcome) for run, outcome in folds if run.role == "final")

    def units(self) -> dict[tuple[str, str, int, int, str], list[tuple[PlannedRun, Outcome]]]:
        """The runs that ended well by what their folds have in common, in the order of the plan.

        Without cross-validation a run is its only fold. Where a fold failed, the others are left out with it.
        """
        found: dict[tuple[str, str, int, int, str], list[tuple[PlannedRun, Outcome]]] = {}
        failed = set()
        for run, outcome in zip(self.runs, self.outcomes, strict=True):
            found.setdefault(run.unit, []).append((run, outcome))
            if outcome.state == "failed":
                failed.add(run.unit)
        return {unit: runs for unit, runs in found.items() if unit not in failed}


def run_suite(suite: Suite, out: Path, *, callbacks: Callbacks | None = None) -> SuiteRun:
    """Do every run of `suite`, method × seed × fold, that has no result yet in folder `out`.

    Runs lie in `out/runs/METHOD-HASH`; the hash is of everything that the result depends on, so a changed suite
    runs again what it changes and nothing else (`run_folders: method` keeps the newest, in `out/runs/METHOD`). A
    run that fails is recorded and does not stop the others. What `out` holds and no suite made stays as it is.

    Raises:
        ConfigError: before anything is written: the suite is wrong, `out` holds other files where the suite's would
            go, or the studies lie there; or another process works in `out`.
        TableError: the corpus cannot be made.
    """
    callbacks = callbacks or Callbacks()
    check_suite(suite)
    outputs = Outputs(out)
    names = _outputs_of(suite)
    outputs.check(names)
    for source in (suite.data.studies, suite.data.annotations, suite.data.image_root):
        if source is not None:
            outputs.check_source(source, names)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        outputs.claim(names)
        placed = prepare_start(suite, out, stage=callbacks.stage)
        training = training_config(plan_final(placed, {})[0].spec.training)
        workers = suite.jobs * suite.threads
        corpus = prepare_corpus(
            suite,
            out / CORPUS,
            image_size=image_size_of(training),
            fit=training.data.fit,
            equalize=training.data.equalize,
            workers=workers,
            stage=callbacks.stage,
        )
        placed = fitted(placed, corpus)
        searched = plan_search(placed)
        search_outcomes = _run(placed, corpus, searched, outputs, lambda s: callbacks.runs("search", s))
        trials: tuple[Trial, ...] = ()
        if suite.tuning is not None:
            trials = score_trials(searched, search_outcomes, suite.tuning)
            write_search(trials, out / SEARCH, suite.tuning)
        runs = plan_final(placed, chosen_points(trials))
        outcomes = _run(placed, corpus, runs, outputs, lambda s: callbacks.runs("runs", s))
        unseen, later = None, []
        if suite.unseen is not None:
            folder = out / UNSEEN
            unseen = prepare_unseen(suite, folder, training, workers=workers, stage=callbacks.stage)
            tasks = unseen_tasks(suite, unseen, runs, outcomes)
            jobs = [_job(title, task, str(f.relative_to(out)), outputs) for f, (title, task) in tasks.items()]
            later = _run_jobs(jobs, suite, lambda s: callbacks.runs("unseen", s))
        done = SuiteRun(
            suite=fitted(suite, corpus),
            folder=out,
            corpus=corpus,
            trials=trials,
            runs=tuple(runs),
            outcomes=tuple(outcomes),
            search_outcomes=tuple(search_outcomes),
            unseen=unseen,
            unseen_outcomes=tuple(later),
        )
        write_json(out / RECORD, record(done))
    return done


def fitted(suite: Suite, corpus: PreparedCorpus) -> Suite:
    """`suite` with what depends on the size of the corpus: the batch (`fit_batch`) and the curve's points."""
    recipe = training_config(suite.train)
    changes: dict[str, Any] = {}
    batch = recipe.batch.size
    most = corpus.counts["train_patients"] if recipe.batch.one_per_patient else corpus.counts["train"]
    if suite.fit_batch and most < batch:
        batch = max(1, most)
        changes["train"] = merge(suite.train, {"batch": {"size": batch}})
    if suite.curve.points:
        steps = recipe.steps or max(1, round(recipe.epochs * corpus.counts["train"] / batch))
        every = max(1, -(-steps // suite.curve.points))
        changes["curve"] = suite.curve.model_copy(update={"every": every})
    return suite.model_copy(update=changes)


def forget(out: Path) -> None:
    """Have everything made again that a suite made in `out`: what it lists as its own is replaced as it runs.

    Only the marks of what is finished are removed, so that nothing else in `out` is touched.

    Raises:
        ConfigError: another process works in `out`.
    """
    claimed = Outputs(out).claimed
    if not claimed:
        return
    with _locked(out):
        for name in claimed:
            for mark in (TASK, RESULT, CORPUS_RECORD):
                if (out / name).is_dir():
                    (out / name / mark).unlink(missing_ok=True)


def run_folder(run: PlannedRun, corpus: PreparedCorpus, suite: Suite) -> str:
    """The name of a run's folder, from the folder of the suite."""
    if suite.run_folders == "method":
        return f"{RUNS}/{run.spec.method}"
    return f"{RUNS}/{run.spec.method}-{run.spec.digest(corpus.of_fold(run.fold).fingerprint)}"


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
                "fold": r.fold,
                "point": dict(r.point),
                **outcome_facts(o),
            }
            for r, o in zip(done.runs, done.outcomes, strict=True)
        ],
    }


def _outputs_of(suite: Suite) -> list[str]:
    """Everything that the suite writes and that has a name before the corpus is known."""
    names = [CORPUS, SEARCH, RECORD, INDEX, *REPORTS]
    if suite.start is not None:
        names.append(start_folder(suite))
    if suite.unseen is not None:
        names.append(UNSEEN)
    if suite.run_folders == "method":
        names += [f"{RUNS}/{method}" for method in suite.methods]
    return names


def _run(
    suite: Suite,
    corpus: PreparedCorpus,
    runs: Sequence[PlannedRun],
    outputs: Outputs,
    watch: Callable[[Snapshot], None],
) -> list[Outcome]:
    """Run what is planned; planned runs that come to the same specification are one job."""
    splits = _splits(suite)
    names = [run_folder(run, corpus, suite) for run in runs]
    jobs: dict[str, Job] = {}
    for run, name in zip(runs, names, strict=True):
        if name in jobs:
            continue
        keep = suite.keep_models and run.role == "final"
        task = RunTask(run.spec, corpus.of_fold(run.fold), splits, device=suite.device, keep_model=keep)
        jobs[name] = _job(run.title, task, name, outputs)
    outcomes = _run_jobs(list(jobs.values()), suite, watch)
    by_name = dict(zip(jobs, outcomes, strict=True))
    return [by_name[name] for name in names]


def _job(title: str, task: RunTask, name: str, outputs: Outputs) -> Job:
    _place(task, name, outputs)
    folder = outputs.folder / name
    return Job(title, folder, (sys.executable, "-m", "medtrim.experiments.worker", str(folder)))


def _run_jobs(jobs: list[Job], suite: Suite, watch: Callable[[Snapshot], None]) -> list[Outcome]:
    return run_jobs(jobs, slots=suite.jobs, threads=suite.threads, watch=watch) if jobs else []


def _place(task: RunTask, name: str, outputs: Outputs) -> None:
    """Make a run's folder ready for its worker, which starts later: remove what another specification left there.

    What the same specification left stays: its result, or a training to go on with.
    """
    outputs.claim([name])
    folder = outputs.folder / name
    digest = task.spec.digest(task.corpus.fingerprint)
    if read_json(folder / TASK).get("digest") != digest:
        outputs.remove(name)
    if not (folder / RESULT).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TASK, {"digest": digest, **task.to_dict()})


def _splits(suite: Suite) -> Mapping[str, str]:
    section = suite.evaluation
    return {"train": section.train, "validation": section.validation, "test": section.test}


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the lock of the folder: two processes in it would overwrite each other's runs."""
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another process runs a suite in {out}") from error
        yield
