"""The encoders that every method of a suite goes on from: trained once, on a corpus of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medtrim.data.phantom import make_corpus
from medtrim.errors import ConfigError
from medtrim.experiments.resolve import resolved_training, training_config
from medtrim.experiments.schema import Suite
from medtrim.objectives import OBJECTIVES
from medtrim.training import train
from medtrim.types import medtrim_version
from medtrim.types.jsonfile import digest
from medtrim.types.settings import merge
from medtrim.types.tables import Progress

# Steps between the checkpoints that an interrupted start goes on from.
_SAVE_EVERY = 200


def prepare_start(suite: Suite, out: Path, *, stage: Callable[[str], Progress]) -> Suite:
    """`suite` with its `start`, if it has one, trained and made the checkpoint that all runs go on from.

    The start lies in `out/start-HASH`; one that is finished is taken as it is, one that was interrupted goes on. It
    is trained on all the threads that the suite's runs have together.

    Args:
        out: folder of the suite.
        stage: name of a stage → its progress call.

    Raises:
        MedTrimError: whatever training raises.
    """
    start = suite.start
    if start is None:
        return suite
    recipe = start_recipe(suite)
    folder = out / start_folder(suite)
    model = folder / "training" / "model"
    if not (folder / "done").exists():
        workers = suite.jobs * suite.threads
        corpus = folder / "phantom"
        if not (corpus / "studies.parquet").exists():
            make_corpus(
                start.phantom.studies,
                corpus,
                seed=start.phantom.seed,
                size=start.phantom.size,
                world=start.phantom.world,
                workers=workers,
                progress=stage("drawing phantoms to start on"),
            )
        # Every study is trained on: the start is not evaluated.
        data = {"studies": str(corpus / "studies.parquet"), "fractions": {"train": 1.0}, "workers": workers}
        config = training_config(
            merge(recipe, {"threads": workers, "save_every": _SAVE_EVERY, "keep": 1}),
            data=data,
            out=str(folder / "training"),
        )
        train(
            config,
            resume=True,
            progress=stage("training the start"),
            cache_progress=stage("image cache of the start"),
        )
        (folder / "done").touch()
    # After the mark: a clean-up that was interrupted must not leave half a corpus to go on with.
    for rest in (folder / "phantom", folder / "training" / "cache", folder / "training" / "checkpoints"):
        shutil.rmtree(rest, ignore_errors=True)
    return suite.model_copy(update={"train": merge(suite.train, {"model": {"checkpoint": str(model)}})})


def start_folder(suite: Suite) -> str:
    """The name of the folder of the suite's start, `start-HASH`.

    Raises:
        ConfigError: as `start_recipe`.
    """
    phantom = suite.start.phantom.model_dump() if suite.start else None
    facts = {"training": resolved_training(start_recipe(suite)), "phantom": phantom, "of": medtrim_version()}
    return f"start-{digest(facts)}"


def start_recipe(suite: Suite) -> dict[str, Any]:
    """The training recipe of the suite's start: the suite's, with what `start.train` says instead.

    Raises:
        ConfigError: there is no start, its recipe is wrong, or its objective needs more than images and reports.
    """
    start = suite.start
    if start is None:
        raise ConfigError("the suite has no start")
    if start.objective not in OBJECTIVES:
        raise ConfigError(f"start: there is no objective {start.objective!r}; allowed: {', '.join(OBJECTIVES)}")
    if OBJECTIVES[start.objective].needs & {"similarity", "labels", "triplets"}:
        raise ConfigError(
            f"start.objective {start.objective} needs annotations, and the start has images and reports alone"
        )
    # What needs annotations or mined triplets is for the methods: the start has neither.
    recipe = merge(merge(suite.train, {"batch": {"normals": 1.0, "sampler": "shuffle"}}), start.train)
    recipe = merge(recipe, {"objective": {"name": start.objective, "options": start.options}, "seed": start.seed})
    try:
        training_config(recipe, data={"studies": "studies.parquet"}, out="start")
    except ConfigError as error:
        raise ConfigError(f"start: {error}") from error
    return recipe
