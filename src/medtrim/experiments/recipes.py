"""The training recipe of each method of a pipeline: one recipe for all, with what each method changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtrim.errors import ConfigError
from medtrim.experiments.config import PipelineConfig
from medtrim.experiments.layout import Layout
from medtrim.experiments.methods import MethodSpec
from medtrim.experiments.settings import refuse_settings
from medtrim.experiments.suite.dotted import holds
from medtrim.experiments.validation import CURVES, curve_name
from medtrim.training import RECIPES, TrainConfig, build_config, load_config
from medtrim.training.load import parse_overrides
from medtrim.training.prepare import model_config
from medtrim.types import Study
from medtrim.types.settings import merge

# Learning rates of methods.yaml are for encoders from random weights at this recipe's size.
OWN_RATES = "tiny-cpu"


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """What the training split allows: its studies and patients."""

    studies: int
    patients: int

    @classmethod
    def of(cls, studies: list[Study]) -> TrainingSize:
        """The size of the `train` split of `studies`."""
        training = [s for s in studies if s.split == "train"]
        return cls(len(training), len({s.patient_id for s in training}))


def make_recipe(config: PipelineConfig, method: MethodSpec, layout: Layout, size: TrainingSize) -> TrainConfig:
    """The whole training configuration of `method`.

    Methods differ in the objective, in how their batches are dealt, and, for encoders from random weights, in the
    peak learning rates that suit them.
    Where a patient may be in a batch once and there are fewer patients than the batch has studies, the batch
    shrinks, for all methods alike.

    Raises:
        ConfigError: the recipe or a setting is unknown or out of range, or a setting is decided elsewhere.
    """
    base = _base(config, method, layout)
    own: dict[str, Any] = {"objective": dict(method.objective)}
    user = parse_overrides(config.settings)
    refuse_settings(user, config, method)
    if own_rate(config):
        own["optimizer"] = dict(method.rates)
    if method.triplets:
        own |= {"data": {"triplets": str(layout.triplets)}, "batch": {"sampler": "triplets", "normals": 1.0}}
    elif not holds(merge(base, user), "batch.normals"):
        own["batch"] = {"normals": method.normals}
    fixed: dict[str, Any] = {"out": str(layout.run(method.key)), "seed": config.seed}
    fixed |= {"save_every": config.save_every} if config.save_every else {}
    merged = merge(merge(merge(merge(base, user), _budget(config)), own), fixed)
    recipe = build_config(merged)
    most = size.patients if recipe.batch.one_per_patient else size.studies
    if config.batch is None and most < recipe.batch.size:
        merged = merge(merged, {"batch": {"size": max(1, most)}})
        recipe = build_config(merged)
    if config.validate:
        steps = recipe.steps or max(1, round(recipe.epochs * size.studies / recipe.batch.size))
        every = max(1, -(-steps // config.validate))
        curves = {"every": every, "metric": curve_name(CURVES[0])} | user.get("evaluation", {})
        merged = merge(merged, {"evaluation": curves})
    return build_config(merged)


def own_rate(config: PipelineConfig) -> bool:
    """Whether each method trains at its own learning rates (`methods.yaml`), not at some that hold for all."""
    given = parse_overrides(config.settings).get("optimizer", {})
    return config.recipe == OWN_RATES and not {"learning_rate", "matrix_learning_rate"} & set(given)


def image_size(recipe: TrainConfig) -> int:
    """Side of the model's input in pixels."""
    return model_config(recipe).image_size


def from_scratch(recipe: TrainConfig) -> bool:
    """Whether both encoders start from random weights."""
    built = model_config(recipe)
    return recipe.model.checkpoint is None and built.vision is None and built.text is None


def _base(config: PipelineConfig, method: MethodSpec, layout: Layout) -> dict[str, Any]:
    """The recipe as plain data over the tables of this run."""
    data = {
        "data": {
            "studies": str(layout.studies),
            "annotations": str(layout.annotations),
            "cache": str(layout.cache),
        }
    }
    if config.recipe in RECIPES:
        return {"recipe": config.recipe, **data}
    if not Path(config.recipe).exists():
        raise ConfigError(f"{config.recipe!r} is no recipe file; packaged recipes: {', '.join(RECIPES)}")
    read = load_config(Path(config.recipe), {**data, "out": str(layout.folder)})
    plain = read.model_dump(mode="json", exclude_unset=True)
    if plain.get("objective", {}).get("name") != method.objective["name"]:
        plain.pop("objective", None)  # its options mean nothing to another objective
    return merge(plain, data)


def _budget(config: PipelineConfig) -> dict[str, Any]:
    budget: dict[str, Any] = {}
    if config.steps is not None:
        budget["steps"] = config.steps
    elif config.epochs is not None:
        budget |= {"steps": 0, "epochs": config.epochs}
    if config.batch is not None:
        budget["batch"] = {"size": config.batch}
    if config.image_size is not None:
        budget["model"] = {"image_size": config.image_size}
    return budget
