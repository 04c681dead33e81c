from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import ConfigError
from medtrim.experiments.check import check_suite
from medtrim.experiments.load import SUITES, build_suite, load_suite
from medtrim.objectives import build_objective
from medtrim.types.yamlfile import dump_yaml

EXAMPLES = Path(__file__).parents[3] / "examples" / "suites"


@pytest.mark.parametrize("name", SUITES)
def test_packaged_suites_are_sound(name: str) -> None:
    suite = load_suite(name)
    check_suite(suite)
    assert suite.name == name


def test_the_readme_suite_is_seven_methods_four_controls_and_three_seeds() -> None:
    suite = load_suite("readme")
    assert (len(suite.methods), len(suite.seeds), suite.jobs, suite.threads) == (11, 3, 2, 1)
    assert {"clip-fewer-normals", "clip-concepts", "clip-hard-negatives", "paper-attribute-hard"} <= set(
        suite.methods
    )


def test_full_searches_every_method_and_keeps_the_readme_ones() -> None:
    full, readme = load_suite("full"), load_suite("readme")
    assert set(readme.methods) < set(full.methods)
    assert full.tuning is not None
    assert len(full.seeds) == 5


def test_ablations_of_descriptors_leave_nothing_that_tells_them() -> None:
    methods = load_suite("full").methods
    weights = {
        key: build_objective("medtrim", **methods[f"medtrim-{key}"].options)
        for key in ("no-adjectives", "no-directions", "diseases-alone", "no-contradictions")
    }
    assert all(not objective.contradiction for objective in weights.values())
    assert [bool(w) for w in weights["diseases-alone"].weights] == [True, False, False]
    assert [bool(w) for w in weights["no-contradictions"].weights] == [True, True, True]
    assert all("ontradictions" in methods[f"medtrim-{key}"].label for key in weights if key != "diseases-alone")


def test_the_gpu_scale_changes_the_data_and_nothing_about_the_methods() -> None:
    small, large = load_suite("readme"), load_suite("readme", scale="gpu")
    assert large.data.phantom is not None
    assert small.data.phantom is not None
    assert large.data.phantom.studies > small.data.phantom.studies
    assert large.methods == small.methods
    check_suite(large)


def test_examples_are_sound() -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        check_suite(load_suite(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seedz": [1]}, "unknown key 'seedz', is 'seeds' meant?"),
        ({"data": {"phantom": {"studys": 9}}}, "unknown key 'data.phantom.studys', is 'studies' meant?"),
        ({"methods": {"clip": {"label": "C", "objectiv": "clip"}}}, "is 'objective' meant?"),
        ({"evaluation": {"probe": [1.0]}}, "unknown key 'evaluation.probe', is 'probes' meant?"),
        ({"sweeps": [{"title": "t", "method": "clip", "key": ["a"]}]}, "is 'keys' meant?"),
        ({"ours": "nobody"}, "ours names the method 'nobody'; methods: medtrim, clip, siglip"),
        ({"seeds": [1, 1]}, "seeds repeat"),
        ({"jobs": 0}, "jobs: Input should be greater than or equal to 1, not 0"),
        ({"data": {"studies": "x.csv", "phantom": {}}}, "give either phantom or studies"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_suite({**values, **change})
    assert said in str(caught.value)


def test_everything_wrong_is_said_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_suite({**values, "seedz": 1, "job": 2})
    assert "seedz" in str(caught.value)
    assert "'job'" in str(caught.value)


def test_a_file_extends_a_packaged_suite_and_leaves_methods_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        dump_yaml(
            {
                "extends": "readme",
                "name": "mine",
                "data": {"phantom": None, "studies": "table.csv", "reference": "annotations"},
                "methods": {"gloria": None},
            }
        ),
        encoding="utf-8",
    )
    suite = load_suite(path, seeds=[7])
    assert suite.data.studies == tmp_path / "table.csv"
    assert "gloria" not in suite.methods
    assert "clip" in suite.methods
    assert suite.seeds == (7,)


@pytest.mark.parametrize(
    ("source", "scale", "said"),
    [
        ("quik", "", "there is no suite 'quik', is 'quick' meant?"),
        ("readme", "gpus", "there is no scale 'gpus', is 'gpu' meant?"),
        ("missing.yaml", "", "cannot be read"),
    ],
)
def test_unknown_names_are_refused(source: str, scale: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_suite(source, scale=scale)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"objective": "clipp"}, "there is no objective 'clipp', is 'clip' meant?"),
        ({"options": {"maxscale": 1.0}}, "max_scale"),
        ({"train": {"optimizer": {"learningrate": 1e-3}}}, "is 'learning_rate' meant?"),
        ({"mining": {"ceilling": 0.6}}, "is 'ceiling' meant?"),
        ({"train": {"batch": {"size": 16}}}, "different numbers of study encodings: medtrim 24, clip 48"),
        ({"objective": "cxr-clip"}, "different numbers of study encodings: medtrim 24, clip 48"),
    ],
)
def test_methods_are_checked_before_the_first_run(
    values: dict[str, Any], method: dict[str, Any], said: str
) -> None:
    values["methods"]["clip"] |= method
    with pytest.raises(ConfigError) as caught:
        check_suite(build_suite(values))
    assert said in str(caught.value)


def test_grids_are_checked_at_every_point(values: dict[str, Any]) -> None:
    values["tuning"] = {"trials": 1}
    values["methods"]["clip"]["grid"] = {"optimizer.learning_rat": [1e-3]}
    with pytest.raises(
        ConfigError, match=r"methods.clip at optimizer.learning_rat=0.001: .*is 'learning_rate' meant"
    ):
        check_suite(build_suite(values))


def test_methods_with_fewer_points_than_trials_are_refused(values: dict[str, Any]) -> None:
    values["tuning"] = {"trials": 2}
    for method in ("medtrim", "siglip"):
        values["methods"][method]["grid"] = {"optimizer.learning_rate": [1e-3, 2e-3]}
    with pytest.raises(ConfigError, match=r"methods.clip.grid has 1 point\(s\), the tuning has 2 trials"):
        check_suite(build_suite(values))


def test_a_plan_names_the_start() -> None:
    shown = CliRunner().invoke(app, ["experiment", "plan", "pretrained"]).output
    assert shown.startswith("start   clip on 30,000 phantoms, 2000 steps")
    assert "start" not in CliRunner().invoke(app, ["experiment", "plan", "quick"]).output
