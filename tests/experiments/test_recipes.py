from __future__ import annotations

from pathlib import Path

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.config import PhantomSource, PipelineConfig
from medtrim.experiments.layout import Layout
from medtrim.experiments.methods import choose_methods, method_specs
from medtrim.experiments.recipes import TrainingSize, from_scratch, image_size, make_recipe
from medtrim.types import Study

SIZE = TrainingSize(studies=4000, patients=3000)
LAYOUT = Layout(Path("run"))


def recipe(method: str = "medtrim", size: TrainingSize = SIZE, **options: object):  # type: ignore[no-untyped-def]
    (spec,) = choose_methods([method])
    return make_recipe(PipelineConfig(PhantomSource(), **options), spec, LAYOUT, size)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", list(method_specs()))
def test_every_method_has_a_recipe_at_the_same_budget(method: str) -> None:
    made, other = recipe(method), recipe("clip")
    assert made.objective.name == method_specs()[method].objective["name"]
    assert (made.steps, made.batch.size, made.seed, made.model, made.augment) == (
        other.steps,
        other.batch.size,
        other.seed,
        other.model,
        other.augment,
    )
    rates = method_specs()[method].rates
    assert {key: getattr(made.optimizer, key) for key in rates} == rates
    assert set(rates) == {"learning_rate", "matrix_learning_rate"}
    assert made.out == LAYOUT.run(method)
    assert (made.data.triplets is not None) == method_specs()[method].triplets


def test_options_reach_the_recipe() -> None:
    made = recipe(steps=7, batch=12, image_size=96, seed=3, save_every=5, settings={"optimizer.warmup": 0.5})
    assert (made.steps, made.batch.size, made.seed, made.save_every) == (7, 12, 3, 5)
    assert image_size(made) == 96
    assert made.optimizer.warmup == 0.5
    assert recipe(epochs=3.0).epochs == 3
    assert recipe(epochs=3.0).steps == 0
    assert from_scratch(made)


def test_a_method_may_deal_fewer_normals_and_a_given_share_holds_for_all(tmp_path: Path) -> None:
    assert (recipe("medtrim").batch.normals, recipe("clip").batch.normals) == (
        method_specs()["medtrim"].normals,
        1.0,
    )
    assert method_specs()["medtrim"].normals < 1
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: tiny-cpu\nbatch: {normals: 0.8}\n")
    for given in ({"settings": {"batch.normals": 0.8}}, {"recipe": str(file)}):
        shares = {method: recipe(method, **given).batch.normals for method in ("medtrim", "clip", "paper")}
        assert shares == {"medtrim": 0.8, "clip": 0.8, "paper": 1.0}, "mined triplets choose the studies themselves"


def test_a_given_learning_rate_holds_for_all_methods() -> None:
    settings = {"optimizer.learning_rate": 1e-4}
    assert recipe("clip", settings=settings).optimizer.learning_rate == 1e-4
    assert recipe("medtrim", settings=settings).optimizer.learning_rate == 1e-4


def test_pretrained_recipes_keep_their_rate_and_are_not_from_scratch() -> None:
    made = recipe("clip", recipe="single-gpu")
    assert made.optimizer.learning_rate == 5e-5
    assert not from_scratch(made)


def test_a_recipe_file_is_the_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: tiny-cpu\nsteps: 11\noptimizer: {learning_rate: 1e-3}\n")
    made = recipe("clip", recipe=str(file))
    assert (made.steps, made.optimizer.learning_rate, made.batch.size) == (11, 1e-3, 96)
    assert made.objective.name == "clip"


def test_the_batch_shrinks_to_the_patients_there_are() -> None:
    few = TrainingSize(studies=200, patients=40)
    assert recipe(size=few).batch.size == 40
    assert recipe(size=few, settings={"batch.one_per_patient": False}).batch.size == 96
    assert recipe(size=few, batch=60).batch.size == 60


def test_validation_points_are_spread_over_the_run() -> None:
    assert recipe(steps=400, validate=8).evaluation.every == 50
    assert recipe(steps=3, validate=8).evaluation.every == 1
    assert recipe(validate=0).evaluation.every == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"optimizer.learning_rat": 1}}, "learning_rate"),
        ({"recipe": "huge"}, "huge"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"resamples": 0}, "resamples"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**options)


@pytest.mark.parametrize(
    ("setting", "options", "advice"),
    [
        ("objective.name", {}, "--methods"),
        ("seed", {}, "--seed"),
        ("out", {}, "--output"),
        ("data.studies", {}, "of this run"),
        ("steps", {"steps": 5}, "--steps"),
        ("epochs", {"steps": 5}, "--steps"),
        ("epochs", {"epochs": 2.0}, "--epochs"),
        ("batch.size", {"batch": 5}, "--batch"),
        ("model.image_size", {"image_size": 64}, "--size"),
        ("save_every", {"save_every": 5}, "--save-every"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_settings_that_an_option_decides_are_refused(
    setting: str, options: dict[str, object], advice: str, *, nested: bool
) -> None:
    section, _, key = setting.partition(".")
    settings = {section: {key: 1}} if nested and key else {setting: 1}
    with pytest.raises(ConfigError, match=f"--set {setting} .*{advice}"):
        recipe(settings=settings, **options)


def test_triplet_methods_keep_their_own_batches() -> None:
    with pytest.raises(ConfigError, match=r"--set batch\.sampler .*paper"):
        recipe("paper", settings={"batch.sampler": "shuffle"})
    assert recipe("clip", settings={"batch.sampler": "shuffle"}).batch.sampler == "shuffle"


def test_settings_that_no_option_decides_hold() -> None:
    made = recipe(settings={"steps": 9, "batch.size": 20, "model.image_size": 96, "evaluation.every": 0})
    assert (made.steps, made.batch.size, image_size(made), made.evaluation.every) == (9, 20, 96, 0)


def test_methods_are_chosen_by_key() -> None:
    assert [m.key for m in choose_methods(["clip", "medtrim"])] == ["clip", "medtrim"]
    with pytest.raises(ConfigError, match="unknown method 'clap'; allowed: medtrim, clip"):
        choose_methods(["clap"])
    for keys in ([], ["clip", "clip"]):
        with pytest.raises(ConfigError, match="at least one"):
            choose_methods(keys)


def test_training_size_counts_the_training_split() -> None:
    studies = [Study("a", "p", split="train"), Study("b", "p", split="train"), Study("c", "q", split="test")]
    assert TrainingSize.of(studies) == TrainingSize(2, 1)
