"""The suites of `medtrim demo` and `medtrim run`: the packaged suite `demo`, with what the user chose."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from medtrim.data.rows import read_rows, table_suffix
from medtrim.errors import ConfigError
from medtrim.experiments.load import build_suite, holds, packaged
from medtrim.experiments.run_suite import INDEX, RUNS, SuiteRun
from medtrim.experiments.schema import DataSection, PhantomData, Suite
from medtrim.models.names import PACKAGED
from medtrim.models.packaged import ENCODERS, INSTALL, packaged_problem
from medtrim.training import RECIPES, load_config
from medtrim.types.settings import merge, nearest, nested
from medtrim.types.tables import Progress, no_progress, read_studies

DEMO = "demo"
# The recipe that the learning rates of the packaged suite were searched for.
OWN_RATES = "tiny-cpu"
PRETRAINED = "pretrained-cpu"
# From so many studies on encoders are worth training whole, for which there are other recipes.
MANY_STUDIES = 20_000
ONE_RATE = "the recipe's or the command's, the same for every method"
TABLES = "the tables are those of this run, from its source"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user chose.

    Attributes:
        data: the corpus: `PhantomData` to draw, or a `DataSection` of the user's studies.
        methods: keys of the packaged suite `demo`; the first is compared with the others.
        seed: of everything that is drawn.
        recipe: name of a packaged training recipe, or a recipe file, for every method alike.
        settings: keys of the recipe to change, dotted (`optimizer.warmup`) → value, for every method alike.
        steps, epochs, batch, image_size: None leaves them to the recipe; `steps` wins over `epochs`.
        resamples: of the bootstrap.
        save_every: steps between checkpoints from which a killed training goes on; 0 keeps none.
        jobs: trainings at a time; 0: one a core, one alone where there is a GPU.
    """

    data: PhantomData | DataSection
    methods: Sequence[str] = ("medtrim", "clip")
    seed: int = 0
    recipe: str = OWN_RATES
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    epochs: float | None = None
    batch: int | None = None
    image_size: int | None = None
    resamples: int = 1000
    save_every: int = 0
    jobs: int = 0


def default_recipe(studies: Path, *, encoding: str = "utf-8") -> tuple[str, str]:
    """The recipe for the user's own studies, and why it is that one, as a sentence.

    A table of fewer than 20,000 rows is trained from packaged pretrained encoders, where these are installed.

    Raises:
        TableError: the table cannot be read.
    """
    problems = [packaged_problem(PACKAGED + name) for name in ENCODERS]
    if any(problems):
        return OWN_RATES, f"small encoders from random weights; pretrained ones come by {INSTALL}"
    if not table_suffix(studies):
        return OWN_RATES, f"small encoders from random weights; --recipe {PRETRAINED} has pretrained ones"
    rows = sum(1 for _ in islice(read_rows(studies, encoding=encoding).rows, MANY_STUDIES))
    if rows >= MANY_STUDIES:
        return OWN_RATES, f"{MANY_STUDIES:,} studies or more; --recipe single-gpu trains pretrained encoders whole"
    return PRETRAINED, "pretrained encoders, frozen, for frontal films; --recipe tiny-cpu has random weights"


def demo_suite(options: DemoOptions) -> Suite:
    """The suite of `options`.

    All methods train from the same recipe, with the user's settings and budget laid over it. They differ in the
    objective, in how their batches are sampled and, with the recipe `tiny-cpu`, in the learning rates, unless the
    user sets these: what the user sets holds for every method.

    Raises:
        ConfigError: a method or recipe is unknown, a value out of range, or a setting would have no effect since
            an option or the method decides it.
    """
    values = packaged(DEMO)
    chosen = _choose(values["methods"], options.methods)
    base, objective = _recipe(options.recipe)
    user = nested(options.settings)
    for key, method in chosen.items():
        _refuse_settings(user, options, key, method)
    own_rates = options.recipe == OWN_RATES and not _sets_rates(user)
    methods = {
        key: _fitted(method, merge(base, user), objective, own_rates=own_rates) for key, method in chosen.items()
    }
    train = merge(merge(base, user), _budget(options))
    drawn = isinstance(options.data, PhantomData)
    labels = [method["label"] for method in methods.values()]
    jobs, threads = share_cores(
        len(methods), cores=os.cpu_count() or 1, jobs=options.jobs or (1 if _has_gpu() else 0)
    )
    values |= {
        "title": _title(labels, drawn=drawn),
        "data": _data(options),
        "train": train,
        "methods": methods,
        "ours": next(iter(methods)),
        "seeds": [options.seed],
        "evaluation": {**values["evaluation"], "resamples": options.resamples, "seed": options.seed},
        "curve": {} if holds(user, "evaluation.every") and not user["evaluation"]["every"] else values["curve"],
        "fit_batch": options.batch is None,
        "jobs": jobs,
        "threads": threads,
        "device": "cuda" if _has_gpu() else "cpu",
    }
    return build_suite(values, source="run" if not drawn else DEMO)


def share_cores(runs: int, *, cores: int, jobs: int = 0) -> tuple[int, int]:
    """How many of `runs` go on side by side (as many as cores, or `jobs`), and threads of each."""
    slots = max(1, min(runs, jobs or cores))
    return slots, max(1, cores // slots)


def build_demo_index(done: SuiteRun, *, progress: Progress = no_progress) -> Path | None:
    """A search index of the test studies with the model of the suite's first method; returns its folder.

    None where the packages of the extra `search` are not installed, or the model's run failed. An index is rebuilt
    where it is older than the model.

    Raises:
        MedTrimError: whatever indexing raises.
    """
    if find_spec("lancedb") is None:
        return None
    model = done.folder / RUNS / done.suite.ours / "model"
    if not any(run.spec.method == done.suite.ours for run, _ in done.finished()):
        return None
    from medtrim.entities import annotate_corpus
    from medtrim.search.index import build_index

    out = done.folder / INDEX
    if out.exists() and out.stat().st_mtime > model.stat().st_mtime:
        return out
    test = [s for s in read_studies(done.corpus.studies) if s.split == done.suite.evaluation.test]
    annotations = list(annotate_corpus(test))
    build_index(model, test, annotations, out, root=done.corpus.image_root, progress=progress)
    return out


def _choose(methods: Mapping[str, Any], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    for key in keys:
        if key not in methods:
            raise ConfigError(f"unknown method {key!r}{nearest(key, methods)}")
    if not keys or len(set(keys)) != len(keys):
        raise ConfigError("name at least one method, each once")
    return {key: dict(methods[key]) for key in keys}


def _recipe(recipe: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe as plain data without its objective, and that objective."""
    if recipe in RECIPES:
        return {"recipe": recipe}, {}
    if not Path(recipe).exists():
        raise ConfigError(f"{recipe!r} is no recipe file; packaged recipes: {', '.join(RECIPES)}")
    read = load_config(
        Path(recipe), {"data": {"studies": "studies.parquet", "annotations": "a.parquet"}, "out": "run"}
    )
    plain = read.model_dump(mode="json", exclude_unset=True)
    objective = plain.pop("objective", {})
    films = {k: v for k, v in plain.pop("data").items() if k in ("fit", "equalize")}
    return {"data": films, **{k: v for k, v in plain.items() if k not in ("out", "seed")}}, objective


def _fitted(
    method: Mapping[str, Any], shared: Mapping[str, Any], objective: Mapping[str, Any], *, own_rates: bool
) -> dict[str, Any]:
    """`method` with what the recipe and the user's settings (`shared`) decide for all taken out of its own keys."""
    train = dict(method["train"])
    fitted = {**method, "train": train}
    if not own_rates:
        train.pop("optimizer", None)
        fitted["tuning"] = ONE_RATE
    if holds(shared, "batch.normals"):
        train.pop("batch", None)
    if objective.get("name") == method["objective"]:
        fitted["options"] = merge(objective.get("options", {}), method.get("options", {}))
    return fitted


def _budget(options: DemoOptions) -> dict[str, Any]:
    budget: dict[str, Any] = {"save_every": options.save_every} if options.save_every else {}
    if options.steps is not None:
        budget["steps"] = options.steps
    elif options.epochs is not None:
        budget |= {"steps": 0, "epochs": options.epochs}
    if options.batch is not None:
        budget["batch"] = {"size": options.batch}
    if options.image_size is not None:
        budget["model"] = {"image_size": options.image_size}
    return budget


def _data(options: DemoOptions) -> dict[str, Any]:
    data = options.data
    if isinstance(data, DataSection):
        return {**data.model_dump(exclude_unset=True), "split_seed": options.seed}
    phantom = data.model_copy(update={"seed": options.seed})
    return {"name": f"{data.studies:,} phantoms", "phantom": phantom.model_dump(), "reference": "test-truth"}


def _title(labels: Sequence[str], *, drawn: bool) -> str:
    where = "drawn phantoms" if drawn else "your studies"
    return f"{labels[0]} against {' and '.join(labels[1:])} on {where}" if labels[1:] else f"{labels[0]} on {where}"


def _sets_rates(settings: Mapping[str, Any]) -> bool:
    return any(holds(settings, f"optimizer.{name}") for name in ("learning_rate", "matrix_learning_rate"))


def _refuse_settings(
    settings: Mapping[str, Any], options: DemoOptions, key: str, method: Mapping[str, Any]
) -> None:
    """Refuse settings that something else decides: they would be overridden without a word."""
    decided = {f"objective.options.{name}": f"{key} has its own" for name in method.get("options", {})}
    decided |= {"objective.name": "choose objectives with --methods", "seed": "use --seed", "out": "use --output"}
    decided |= {f"data.{name}": TABLES for name in ("studies", "annotations", "cache")}
    if options.steps is not None:
        decided |= {"steps": "use --steps", "epochs": "--steps decides how long the training is"}
    elif options.epochs is not None:
        decided |= {"steps": "--epochs decides how long the training is", "epochs": "use --epochs"}
    if options.batch is not None:
        decided["batch.size"] = "use --batch"
    if options.image_size is not None:
        decided["model.image_size"] = "use --size"
    if options.save_every:
        decided["save_every"] = "use --save-every"
    if "mining" in method:
        decided["batch.sampler"] = f"batches of {key} come from mined triplets"
        decided["data.triplets"] = TABLES
    for name, advice in decided.items():
        if holds(settings, name):
            raise ConfigError(f"--set {name} would have no effect: {advice}")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
