"""The suites of `medtrim demo` and `medtrim run`; whole runs are in tests/cli/test_demo.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments import demo as demo_module
from medtrim.experiments.demo import ONE_RATE, DemoOptions, default_recipe, demo_suite, share_cores
from medtrim.experiments.load import packaged
from medtrim.experiments.plan import plan_final
from medtrim.experiments.prepare import PreparedCorpus
from medtrim.experiments.resolve import training_config
from medtrim.experiments.run_suite import fitted
from medtrim.experiments.schema import DataSection, PhantomData, Suite
from medtrim.training import TrainConfig

METHODS = packaged("demo")["methods"]
COUNTS = {"train": 4000, "train_patients": 3000}


def suite_of(*methods: str, **options: Any) -> Suite:
    return demo_suite(DemoOptions(PhantomData(studies=6000, size=128), methods=methods or ("medtrim",), **options))


def corpus(**counts: int) -> PreparedCorpus:
    here = Path("corpus")
    return PreparedCorpus(here, here, here, here, here, "f", {**COUNTS, **counts}, {})


def recipe(method: str = "medtrim", *, counts: dict[str, int] | None = None, **options: Any) -> TrainConfig:
    suite = fitted(suite_of(method, **options), corpus(**counts or {}))
    return training_config(plan_final(suite, {})[0].spec.training)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_has_a_recipe_at_the_same_budget(method: str) -> None:
    made, other = recipe(method), recipe("clip")
    assert made.objective.name == METHODS[method]["objective"]
    assert (made.steps, made.batch.size, made.seed, made.model, made.augment) == (
        other.steps,
        other.batch.size,
        other.seed,
        other.model,
        other.augment,
    )
    rates = METHODS[method]["train"]["optimizer"]
    assert {key: getattr(made.optimizer, key) for key in rates} == rates
    assert set(rates) == {"learning_rate", "matrix_learning_rate"}
    assert (made.batch.sampler == "triplets") == ("mining" in METHODS[method])


def test_options_reach_the_recipe() -> None:
    made = recipe(steps=7, batch=12, image_size=96, seed=3, save_every=5, settings={"optimizer.warmup": 0.5})
    assert (made.steps, made.batch.size, made.seed, made.save_every) == (7, 12, 3, 5)
    assert made.model.image_size == 96
    assert made.optimizer.warmup == 0.5
    assert recipe(epochs=3.0).epochs == 3
    assert recipe(epochs=3.0).steps == 0


def test_options_reach_the_suite() -> None:
    suite = suite_of("clip", "medtrim", seed=4, resamples=50)
    assert suite.title == "CLIP against MedTrim on drawn phantoms"
    assert (suite.ours, suite.rivals, suite.seeds) == ("clip", ("medtrim",), (4,))
    assert suite.data.phantom is not None
    assert (suite.data.name, suite.data.phantom.seed) == ("6,000 phantoms", 4)
    assert (suite.evaluation.resamples, suite.evaluation.seed) == (50, 4)
    own = demo_suite(DemoOptions(DataSection(studies=Path("mine.csv"), columns={"images": "file"}), seed=4))
    assert own.title == "MedTrim against CLIP on your studies"
    assert (own.data.split_seed, own.data.reference, own.data.phantom) == (4, "annotations", None)
    assert own.data.columns == {"images": "file"}


def test_a_method_may_take_fewer_normals_and_a_given_share_holds_for_all(tmp_path: Path) -> None:
    assert (recipe("medtrim").batch.normals, recipe("clip").batch.normals) == (0.4, 1.0)
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: tiny-cpu\nbatch: {normals: 0.8}\n")
    for given in ({"settings": {"batch.normals": 0.8}}, {"recipe": str(file)}):
        shares = {method: recipe(method, **given).batch.normals for method in ("medtrim", "clip", "paper")}
        assert shares == {"medtrim": 0.8, "clip": 0.8, "paper": 1.0}, "mined triplets choose the studies themselves"


def test_a_given_learning_rate_holds_for_all_methods() -> None:
    settings = {"optimizer.learning_rate": 1e-4}
    assert recipe("clip", settings=settings).optimizer.learning_rate == 1e-4
    assert recipe("medtrim", settings=settings).optimizer.learning_rate == 1e-4
    assert suite_of("medtrim", settings=settings).methods["medtrim"].tuning == ONE_RATE
    assert suite_of("medtrim").methods["medtrim"].tuning != ONE_RATE


def test_pretrained_recipes_keep_their_rate() -> None:
    assert recipe("clip", recipe="single-gpu").optimizer.learning_rate == 5e-5


def test_a_recipe_file_is_the_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    objective = "objective: {name: siglip, options: {bias: -4.0}}"
    file.write_text(f"recipe: tiny-cpu\nsteps: 11\noptimizer: {{learning_rate: 1e-3}}\n{objective}\n")
    made = recipe("clip", recipe=str(file))
    assert (made.steps, made.optimizer.learning_rate, made.batch.size) == (11, 1e-3, 96)
    assert (made.objective.name, made.objective.options) == ("clip", {})
    assert recipe("siglip", recipe=str(file)).objective.options == {"bias": -4.0}


def test_the_batch_shrinks_to_the_patients_there_are() -> None:
    few = {"train": 200, "train_patients": 40}
    assert recipe(counts=few).batch.size == 40
    assert recipe(counts=few, settings={"batch.one_per_patient": False}).batch.size == 96
    assert recipe(counts=few, batch=60).batch.size == 60


def test_validation_points_are_spread_over_the_run() -> None:
    assert recipe(steps=400).evaluation.every == 50
    assert recipe(steps=3).evaluation.every == 1
    assert recipe(epochs=2.0).evaluation.every == -(-round(2 * 4000 / 96) // 8)
    assert recipe(settings={"evaluation.every": 0}).evaluation.every == 0
    assert recipe(settings={"evaluation.every": 7}).evaluation.every == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "huge"}, "huge"),
        ({"seed": -1}, "seed"),
        ({"resamples": 0}, "resamples"),
        ({"settings": {"evaluation.every": -1}}, "every"),
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
    made = recipe(settings={"steps": 9, "batch.size": 20, "model.image_size": 96})
    assert (made.steps, made.batch.size, made.model.image_size) == (9, 20, 96)


def test_methods_are_chosen_by_key() -> None:
    assert list(suite_of("clip", "medtrim").methods) == ["clip", "medtrim"]
    with pytest.raises(ConfigError, match=r"unknown method 'clap', is 'clip' meant\? \(allowed: medtrim, clip"):
        suite_of("clap")
    for keys in ((), ("clip", "clip")):
        with pytest.raises(ConfigError, match="at least one"):
            demo_suite(DemoOptions(PhantomData(), methods=keys))


@pytest.mark.parametrize(
    ("runs", "cores", "jobs", "shared"),
    [
        (2, 2, 0, (2, 1)),
        (2, 8, 0, (2, 4)),
        (3, 2, 0, (2, 1)),
        (2, 8, 1, (1, 8)),
        (1, 2, 0, (1, 2)),
        (0, 2, 0, (1, 2)),
        (5, 4, 9, (5, 1)),
    ],
)
def test_cores_are_shared_out(runs: int, cores: int, jobs: int, shared: tuple[int, int]) -> None:
    assert share_cores(runs, cores=cores, jobs=jobs) == shared


@pytest.mark.parametrize(
    ("rows", "installed", "recipe"), [(3, True, "pretrained-cpu"), (3, False, "tiny-cpu"), (4, True, "tiny-cpu")]
)
def test_few_studies_are_trained_from_pretrained_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, installed: bool, recipe: str
) -> None:
    monkeypatch.setattr(demo_module, "MANY_STUDIES", 4)
    monkeypatch.setattr(demo_module, "packaged_problem", lambda _: None if installed else "not installed")
    table = tmp_path / "studies.csv"
    table.write_text("image,text\n" + 'a.png,"two\nlines"\n' * rows, encoding="utf-8")
    found, reason = default_recipe(table)
    assert found == recipe
    assert ("pip install" in reason) == (not installed)


def test_a_recipe_says_how_films_are_cut() -> None:
    made = recipe(recipe="pretrained-cpu")
    assert (made.data.fit, made.data.equalize, made.objective.options["concepts"]) == ("lungs", True, 100.0)


def test_a_recipe_file_says_how_films_are_cut(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("recipe: tiny-cpu\ndata: {fit: crop, equalize: true}\n", encoding="utf-8")
    made = recipe(recipe=str(file))
    assert (made.data.fit, made.data.equalize) == ("crop", True)
