"""Do the intervals cover what they say? The simulation of `benchmarks/bench_intervals.py`, small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "bench_intervals.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_intervals", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_simulated_set_has_patients_that_repeat_and_every_headline_figure(bench):
    found = list(bench.simulate(sets=2, studies=40, seeds=(2,), resamples=20, seed_spread=0.1))
    assert {row.figure[0] for row in found} == {*bench.HEADLINE, "macro AUROC"}
    assert {row.figure[1] for row in found} == {"all", "abnormal", "normal", ""}
    world = bench.draw_world(40, np.random.default_rng(0))
    assert len(set(world.patients)) < len(world.patients) == 40


def test_the_few_figures_are_those_of_an_evaluation(bench):
    rng = np.random.default_rng(3)
    world = bench.draw_world(60, rng)
    bootstrap = bench.PatientBootstrap(world.patients, resamples=50, seed=0)
    model = bench.draw_model(world, rng, seed_spread=0.1)
    whole, few = (f(world, model, bootstrap) for f in (bench.evaluate_model, bench.evaluate_few))
    assert len(few) == 5
    for key, figure in few.items():
        assert figure.value == pytest.approx(whole[key].value, abs=1e-6), key
        assert (figure.n, figure.patients) == (whole[key].n, whole[key].patients)
        np.testing.assert_allclose(figure.replicates, whole[key].replicates, atol=1e-5, err_msg=str(key))


@pytest.mark.slow
def test_intervals_cover_what_they_say(bench):
    found = list(bench.simulate(sets=60, studies=120, seeds=(3, 5), resamples=300, seed_spread=0.1))
    # Sixty sets: a coverage of 0.95 is measured with a standard error of 0.028; the mean over figures with less.
    assert all(row.covered >= 0.85 and row.covered_difference >= 0.85 for row in found)
    assert 0.92 <= np.mean([row.covered for row in found]) <= 0.99
    assert np.mean([row.false_positives for row in found]) <= 0.075
