"""The phantoms of another generator that a suite's trained models are evaluated on, after all runs and once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medtrim.data import ImageCache
from medtrim.errors import ConfigError
from medtrim.evaluation.truth import annotations_of_column
from medtrim.experiments.execute import MODEL, RunTask
from medtrim.experiments.plan import PlannedRun
from medtrim.experiments.prepare import (
    PHANTOM,
    RECORD,
    STUDIES,
    Parts,
    PreparedCorpus,
    Stage,
    draw_phantoms,
    image_size_of,
    is_complete,
    read_back,
    read_reports,
)
from medtrim.experiments.runner import Outcome
from medtrim.experiments.schema import Suite
from medtrim.training import TrainConfig
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.tables import no_progress

UNSEEN = "unseen"


def prepare_unseen(
    suite: Suite, out: Path, training: TrainConfig, *, workers: int = 1, stage: Stage = lambda _: no_progress
) -> PreparedCorpus:
    """Draw the suite's unseen phantoms in folder `out`, or take those that an earlier run drew there.

    All of them are of the test split; what was drawn is the reference. No annotations are written for methods.

    Args:
        training: how images are fitted into the square that the backbone reads.
        stage: name of a stage → its progress call.

    Raises:
        ConfigError: the suite has no `unseen`.
    """
    if suite.unseen is None:
        raise ConfigError(f"suite {suite.name}: there is no unseen corpus")
    out.mkdir(parents=True, exist_ok=True)
    data = training.data
    film: dict[str, Any] = {"size": image_size_of(training), "fit": data.fit, "equalize": data.equalize}
    wanted = {"data": suite.unseen.model_dump(mode="json"), **film}
    held = read_json(out / RECORD)
    if held.get("wanted") == wanted and is_complete(held):
        return PreparedCorpus.from_dict(held["corpus"])
    drawn, root = draw_phantoms(suite.unseen, out, workers, stage)
    studies = [replace(s, split=suite.evaluation.test) for s in drawn]
    built = ImageCache.build(
        studies, root=root, path=out / "cache", **film, workers=workers, progress=stage("image cache")
    )
    read, made = read_reports(studies, stage)
    truth = annotations_of_column(out / PHANTOM / STUDIES, "truth")
    facts = dict(read_back(read, truth))
    parts = Parts(suite, root, built.cache, read, made, truth, rejects=len(built.rejects), facts=facts)
    corpus = parts.write(studies, out, known=[])
    write_json(out / RECORD, {"wanted": wanted, "corpus": corpus.to_dict()})
    return corpus


def unseen_tasks(
    suite: Suite, corpus: PreparedCorpus, runs: Sequence[PlannedRun], outcomes: Sequence[Outcome]
) -> dict[Path, tuple[str, RunTask]]:
    """Folder → title and task of the evaluation of every final run that ended well; probes are left out.

    A probe would be fitted on studies of the other generator, which no method has seen.
    """
    test = suite.evaluation.test
    splits = {"train": test, "validation": test, "test": test}
    tasks = {}
    for run, outcome in zip(runs, outcomes, strict=True):
        if run.role == "final" and outcome.state != "failed":
            spec = replace(run.spec, measures={**run.spec.measures, "probes": [], "retrieval": ["i2t", "t2i"]})
            checkpoint = str(outcome.job.folder / MODEL)
            task = RunTask(spec, corpus, splits, device=suite.device, keep_model=True, checkpoint=checkpoint)
            tasks[outcome.job.folder / UNSEEN] = f"{run.title}, unseen", task
    return tasks
