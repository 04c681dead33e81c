"""The whole way, once: studies → annotations → triplets → trained methods → evaluation → report."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medtrim.data import ImageCache
from medtrim.experiments.assemble import Assembly, assemble, write_metrics, write_results
from medtrim.experiments.config import PhantomSource, PipelineConfig, TableSource
from medtrim.experiments.footprint import LOGS, all_outputs, check_source, claim_closing
from medtrim.experiments.judge import MAP_NAME
from medtrim.experiments.layout import Layout
from medtrim.experiments.methods import MethodSpec, choose_methods
from medtrim.experiments.monitor import Monitor, Silent, progress_of
from medtrim.experiments.recipes import TrainingSize, from_scratch, image_size, make_recipe
from medtrim.experiments.report import write_report
from medtrim.experiments.results import Results
from medtrim.experiments.splits import check_splits
from medtrim.experiments.stages import Done, Stage, StageBook, digest
from medtrim.experiments.steps import annotate, cache_images, collect_rejects, make_studies, mine
from medtrim.experiments.workers import Plan, Task, plan_jobs, run_chains
from medtrim.training import TrainConfig
from medtrim.types import medtrim_version
from medtrim.types.tables import read_studies

AMPLE = TrainingSize(studies=10**6, patients=10**6)
"""A corpus that no batch is too large for: recipes can be checked before the studies are read."""
PACKAGES = ("torch", "transformers", "numpy", "scikit-learn", "pyarrow")


@dataclass(frozen=True)
class PipelineResult:
    """What a run left behind: its report, the results in it, and how long every stage took."""

    report: Path
    results: Results
    stages: tuple[Done, ...]


def run_pipeline(
    config: PipelineConfig, out: Path | str, *, monitor: Monitor | None = None, command: str = ""
) -> PipelineResult:
    """Run every stage that `out` does not hold yet, and write the report.

    A stage is skipped where an earlier run has finished it with the same inputs; a training that was killed goes on
    from its newest checkpoint, if it keeps any.

    Args:
        config: what to compare on what.
        out: folder of the run.
        monitor: told of every stage.
        command: the command line, for the report.

    Raises:
        ConfigError: before anything is written: `out` holds files of others where the run's would go, the source
            lies where they would go, or the recipe or a setting is unknown or out of range.
        MedTrimError: what a stage raised. Stages before it are kept.
    """
    run = _Run(config, Layout(Path(out)), monitor or Silent())
    specs = choose_methods(config.methods)
    run.check(specs)
    run.prepare()
    recipes = run.cache(specs)
    run.train_and_judge(specs, recipes)
    return run.report(specs, recipes, command)


class _Run:
    """One pass through the stages; later stages take the keys of earlier ones into theirs."""

    def __init__(self, config: PipelineConfig, layout: Layout, monitor: Monitor) -> None:
        self.config, self.layout, self.monitor = config, layout, monitor
        self.book = StageBook(layout.folder, monitor)
        self.keys: dict[str, str] = {}
        self.facts: dict[str, Mapping[str, Any]] = {}
        self.size = TrainingSize(0, 0)

    def check(self, specs: tuple[MethodSpec, ...]) -> None:
        """Refuse what can be refused before anything is written; see `run_pipeline`."""
        check_source(self.config.source, self.layout, [m.key for m in specs])
        for name, outputs in all_outputs(self.layout, [m.key for m in specs]).items():
            self.book.records.check(name, outputs)
        for method in specs:
            make_recipe(self.config, method, self.layout, AMPLE)

    def prepare(self) -> None:
        """Studies, annotations, triplets."""
        config, layout = self.config, self.layout
        source = config.source
        if isinstance(source, PhantomSource):
            title, inputs = "draw phantoms", {"studies": source.studies, "size": source.size}
        else:
            title, inputs = "read studies", _table_inputs(source)
        stage = Stage("studies", title, {"source": inputs, "seed": config.seed}, ("corpus",))
        self._note(self.book.run(stage, lambda: make_studies(config, layout, self._progress("studies"))))
        check_splits(read_studies(layout.studies))
        stage = Stage("annotate", "read reports", self._after("studies"), ("annotations.parquet",))
        self._note(self.book.run(stage, lambda: annotate(config, layout, self._progress("annotate"))))
        inputs = {**self._after("annotate"), "iterations": config.iterations, "seed": config.seed}
        stage = Stage("mine", "mine triplets", inputs, ("triplets.parquet",))
        self._note(self.book.run(stage, lambda: mine(config, layout, self._progress("mine"))))

    def cache(self, specs: tuple[MethodSpec, ...]) -> dict[str, TrainConfig]:
        """Decode the images at the size that the recipes want; returns the recipe of every method."""
        studies = read_studies(self.layout.studies)
        self.size = TrainingSize.of(studies)
        recipes = {m.key: make_recipe(self.config, m, self.layout, self.size) for m in specs}
        side = image_size(recipes[specs[0].key])
        stage = Stage("cache", "decode images", {**self._after("studies"), "size": side}, ("cache",))
        self._note(self.book.run(stage, lambda: cache_images(self.layout, side, self._progress("cache"))))
        cached = ImageCache(self.layout.cache)
        check_splits([s for s in studies if s.study_id in cached], having="readable image")
        return recipes

    def train_and_judge(self, specs: tuple[MethodSpec, ...], recipes: Mapping[str, TrainConfig]) -> None:
        """Train the methods side by side, and judge each as soon as it is trained."""
        claim_closing(self.book.records, self.layout)
        cores = os.cpu_count() or 1
        plan = plan_jobs(len(specs), cores=cores, jobs=self.config.jobs or (1 if _has_gpu() else 0))
        stages: dict[str, Stage] = {}
        chains: dict[str, list[Task]] = {}
        for method in specs:
            recipe = recipes[method.key].model_copy(update={"threads": plan.threads})
            training = self._training(method, recipe)
            judging = self._judging(method, after=training)
            tasks: list[Task] = [
                {"name": training.name, "kind": "train", "config": recipe.model_dump(mode="json")},
                {
                    "name": judging.name,
                    "kind": "evaluate",
                    "folder": str(self.layout.folder),
                    "method": method.key,
                    "seed": self.config.seed,
                    "resamples": self.config.resamples,
                    "drawn": self.config.drawn,
                },
            ]
            stages |= {training.name: training, judging.name: judging}
            chains[method.key] = [task for task in tasks if not self._reused(stages[task["name"]])]
        self._run_chains(chains, stages, plan)

    def _training(self, method: MethodSpec, recipe: TrainConfig) -> Stage:
        plain = recipe.model_dump(mode="json")
        # Where the files lie and how many threads there are changes no weight.
        inputs = {k: v for k, v in plain.items() if k not in ("out", "threads")}
        inputs["data"] = {k: v for k, v in plain["data"].items() if k in ("train_split", "eval_split")}
        before = ("annotate", "cache", "mine") if method.triplets else ("annotate", "cache")
        folder = self.layout.relative(self.layout.run(method.key))
        return Stage(
            f"train-{method.key}",
            f"train {method.label}",
            {"recipe": inputs, **self._after(*before)},
            (folder, f"{folder}/model/config.json"),
        )

    def _judging(self, method: MethodSpec, *, after: Stage) -> Stage:
        folder = self.layout.relative(self.layout.evaluation(method.key))
        return Stage(
            f"evaluate-{method.key}",
            f"evaluate {method.label}",
            {"after": [after.key], "resamples": self.config.resamples, "seed": self.config.seed},
            (folder, f"{folder}/evaluation.json", f"{folder}/{MAP_NAME}"),
        )

    def report(
        self, specs: tuple[MethodSpec, ...], recipes: Mapping[str, TrainConfig], command: str
    ) -> PipelineResult:
        """Put the results together and write them as HTML, JSON and Parquet."""
        assembly = Assembly(
            config=self.config,
            layout=self.layout,
            methods=specs,
            facts=self.facts,
            stages=tuple(self.book.done),
            rejects=collect_rejects(self.layout),
            recipes={key: recipe.model_dump(mode="json") for key, recipe in recipes.items()},
            from_scratch=from_scratch(recipes[specs[0].key]),
            versions=versions(),
            command=command,
            created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
        results = assemble(assembly)
        write_metrics(results, self.layout.metrics)
        write_results(results, self.layout.results)
        return PipelineResult(write_report(results, self.layout.report), results, tuple(self.book.done))

    def _run_chains(self, chains: Mapping[str, list[Task]], stages: Mapping[str, Stage], plan: Plan) -> None:
        started: dict[str, float] = {}

        def on_start(name: str) -> None:
            started[name] = self.book.begin(stages[name])

        def on_result(name: str, result: Mapping[str, Any]) -> None:
            self._note(self.book.finish_since(stages[name], started[name], result))

        run_chains(
            chains,
            plan=plan,
            logs=self.layout.folder / LOGS,
            on_start=on_start,
            on_progress=self.monitor.update,
            on_result=on_result,
        )

    def _reused(self, stage: Stage) -> bool:
        found = self.book.reuse(stage)
        if found is not None:
            self._note(found)
        return found is not None

    def _note(self, done: Done) -> None:
        self.keys[done.name] = done.key
        self.facts[done.name] = done.facts

    def _after(self, *names: str) -> dict[str, Any]:
        return {"after": [self.keys[name] for name in names]}

    def _progress(self, stage: str) -> Any:
        return progress_of(self.monitor, stage)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"medtrim": medtrim_version(), "python": platform.python_version()}
    return found | {name: version(name) for name in PACKAGES}


def _table_inputs(source: TableSource) -> dict[str, Any]:
    return {
        "content": digest([source.path]),
        "columns": dict(source.columns),
        "image_root": str(source.image_root) if source.image_root else None,
        "layout": source.layout,
        "patients": source.patients,
        "encoding": source.encoding,
        "fractions": dict(source.fractions),
    }


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
