from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from medtrim.experiments.load import build_suite, load_suite
from medtrim.experiments.plan import plan_final, plan_search, search_points, sweep_point
from medtrim.experiments.schema import Suite, SweepSection


def tuned(values: dict[str, Any], *, trials: int = 3) -> Suite:
    grid = {"optimizer.learning_rate": [1e-3, 2e-3, 3e-3], "model.temperature": [0.07, 0.1]}
    for method in values["methods"].values():
        method["grid"] = grid
    return build_suite({**values, "tuning": {"trials": trials, "seed": 4}})


def test_every_method_is_searched_equally(values: dict[str, Any]) -> None:
    runs = plan_search(tuned(values))
    assert Counter(run.spec.method for run in runs) == {"medtrim": 3, "clip": 3, "siglip": 3}
    assert {run.spec.split for run in runs} == {"validation"}
    assert {run.spec.seed for run in runs} == {4}


def test_the_first_values_are_the_first_trial_and_points_differ(values: dict[str, Any]) -> None:
    points = search_points(tuned(values, trials=6), "clip")
    assert points[0] == {"optimizer.learning_rate": 1e-3, "model.temperature": 0.07}
    assert len({tuple(p.items()) for p in points}) == 6
    fewer = search_points(tuned(values), "clip")
    assert fewer[0] == points[0]
    assert len({tuple(p.items()) for p in fewer}) == 3


def test_a_search_point_reaches_the_training_recipe(values: dict[str, Any]) -> None:
    run = plan_search(tuned(values))[0]
    assert run.spec.training["optimizer"]["learning_rate"] == 1e-3
    assert run.spec.training["model"]["temperature"] == 0.07
    assert run.spec.training["objective"] == {"name": "medtrim", "options": {}}


def test_finals_are_methods_by_seeds_with_what_was_chosen(suite: Suite) -> None:
    runs = plan_final(suite, {"clip": {"optimizer.learning_rate": 5e-4}})
    assert [(r.spec.method, r.spec.seed) for r in runs] == [
        (m, s) for s in (0, 1) for m in ("medtrim", "clip", "siglip")
    ]
    rates = {r.spec.method: r.spec.training.get("optimizer", {}).get("learning_rate") for r in runs}
    assert rates == {"medtrim": None, "clip": 5e-4, "siglip": None}
    assert all(r.spec.split == "test" for r in runs)


def test_sweeps_lie_on_top_of_what_was_chosen(values: dict[str, Any]) -> None:
    sweep = {
        "title": "t",
        "method": "medtrim",
        "keys": ["objective.options.direction"],
        "values": [0, 14],
        "seeds": [5],
    }
    suite = build_suite({**values, "sweeps": [sweep]})
    runs = [r for r in plan_final(suite, {"medtrim": {"optimizer.learning_rate": 1e-4}}) if r.role == "sweep"]
    assert [r.x for r in runs] == [0.0, 14.0]
    assert [r.spec.training["objective"]["options"] for r in runs] == [{"direction": 0}, {"direction": 14}]
    assert all(r.spec.training["optimizer"]["learning_rate"] == 1e-4 and r.spec.seed == 5 for r in runs)


def test_sweeps_reach_mining_and_annotation_errors(values: dict[str, Any]) -> None:
    values["methods"]["medtrim"] = {
        "label": "P",
        "objective": "medtrim-triplet",
        "mining": {"iterations": 10},
    }
    sweeps = [
        {"title": "a", "method": "medtrim", "keys": ["mining.mini_pool_size"], "values": [8, 16]},
        {"title": "b", "method": "medtrim", "keys": ["errors.missed"], "values": [0.1, 1]},
    ]
    runs = [r for r in plan_final(build_suite({**values, "sweeps": sweeps}), {}) if r.role == "sweep"]
    assert [r.spec.mining for r in runs][:2] == [{"iterations": 10, "mini_pool_size": n} for n in (8, 16)]
    assert [r.spec.errors for r in runs][2:] == [{"missed": 0.1}, {"missed": 1.0}]
    assert all(r.spec.training["batch"]["sampler"] == "triplets" for r in runs)


def test_whole_values_stay_whole_only_where_all_are() -> None:
    whole = SweepSection(title="t", method="m", keys=("a.b",), values=(8.0, 16.0))
    broken = SweepSection(title="t", method="m", keys=("a.b",), values=(0.5, 1.0))
    assert type(sweep_point(whole, 8.0)["a.b"]) is int
    assert type(sweep_point(broken, 1.0)["a.b"]) is float


def test_the_hash_is_of_what_the_result_depends_on(suite: Suite, values: dict[str, Any]) -> None:
    spec = plan_final(suite, {})[0].spec
    assert spec.digest("corpus") == spec.digest("corpus")
    assert spec.digest("corpus") != spec.digest("another corpus")
    assert replace(spec, method="renamed").digest("corpus") == spec.digest("corpus")
    assert replace(spec, split="validation").digest("corpus") != spec.digest("corpus")
    spelled = {**spec.training, "objective": {"name": "medtrim", "options": {"direction": 18}}}
    assert replace(spec, training=spelled).digest("corpus") == spec.digest("corpus")
    threads = build_suite({**values, "threads": 4})
    assert plan_final(threads, {})[0].spec.digest("corpus") == spec.digest("corpus")
    seeds = [run.spec.digest("corpus") for run in plan_final(suite, {})]
    assert len(set(seeds)) == len(seeds)


def test_the_plan_is_the_same_whatever_the_hash_seed(under_another_hash_seed: Callable[[str], str]) -> None:
    program = (
        "from medtrim.experiments.load import load_suite\n"
        "from medtrim.experiments.plan import plan_search\n"
        "print([r.spec.digest('c') for r in plan_search(load_suite('quick'))])\n"
    )
    ours = [r.spec.digest("c") for r in plan_search(load_suite("quick"))]
    assert under_another_hash_seed(program).strip() == str(ours)
    assert len(ours) == 4


def test_other_roles_have_no_place_on_a_sweep(suite: Suite) -> None:
    assert all(math.isnan(run.x) and run.sweep == -1 for run in plan_final(suite, {}))
