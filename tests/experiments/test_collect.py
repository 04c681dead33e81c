from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtrim.evaluation import EvaluationResult, PatientBootstrap
from medtrim.experiments.breakdown import QueryGroups, group_shares, query_groups
from medtrim.experiments.collect import Evaluations, collect
from medtrim.experiments.load import build_suite
from medtrim.experiments.rows import Row, headline_keys, read_rows, write_rows
from medtrim.experiments.schema import Suite
from medtrim.types import Annotation, Finding, Provenance

Make = Callable[..., EvaluationResult]
FINE, WRONG = ("fine P@10", "i2t"), ("wrong side @R", "i2t")


def finals(make: Make) -> Evaluations:
    return Evaluations(
        {
            "medtrim": {0: make({FINE: 0.60, WRONG: 0.03}, seed=0), 1: make({FINE: 0.62, WRONG: 0.05}, seed=1)},
            "clip": {0: make({FINE: 0.50, WRONG: 0.02}, seed=2), 1: make({FINE: 0.56, WRONG: 0.02}, seed=3)},
            "siglip": {0: make({FINE: 0.40, WRONG: 0.01}, seed=4)},
        }
    )


def one(rows: list[Row], **wanted: Any) -> Row:
    found = [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_pooled_figures_are_means_over_seeds(suite: Suite, make_evaluation: Make) -> None:
    rows = collect(suite, finals(make_evaluation))
    pooled = one(rows, kind="pooled", method="clip", metric="fine P@10")
    assert pooled.value == pytest.approx(0.53)
    assert pooled.spread == pytest.approx(np.std([0.50, 0.56], ddof=1))
    assert pooled.low < 0.53 < pooled.high
    assert math.isnan(pooled.p)
    assert one(rows, kind="seed", method="clip", metric="fine P@10", seed=1).value == 0.56


def test_intervals_of_shares_stay_within_their_range(suite: Suite, make_evaluation: Make) -> None:
    """With two seeds t has one degree of freedom, and its interval reaches far beyond what a share can be."""
    two = {seed: make_evaluation({FINE: value, WRONG: 0.0}, seed=seed) for seed, value in ((0, 0.1), (1, 0.9))}
    exact = {
        seed: replace(
            result,
            figures=tuple(
                replace(f, low=0.0, high=0.2, replicates=np.zeros(len(f.replicates))) if f.value == 0.0 else f
                for f in result.figures
            ),
        )
        for seed, result in two.items()
    }
    rows = collect(suite, Evaluations({"medtrim": exact, "clip": exact}))
    fine = one(rows, kind="pooled", method="medtrim", metric="fine P@10")
    assert (fine.low, fine.high) == (0.0, 1.0)
    wrong = one(rows, kind="pooled", method="medtrim", metric="wrong side @R")
    assert (wrong.value, wrong.low, wrong.high) == (0.0, 0.0, 0.2), "none among few patients may be chance"
    nothing = {seed: make_evaluation({FINE: math.nan}, seed=seed) for seed in (0, 1)}
    row = one(collect(suite, Evaluations({"clip": nothing})), kind="pooled")
    assert math.isnan(row.low)
    assert math.isnan(row.high)


def test_differences_pair_seeds_and_replicates(suite: Suite, make_evaluation: Make) -> None:
    found = finals(make_evaluation)
    rows = collect(suite, found)
    row = one(rows, kind="difference", baseline="clip", metric="fine P@10")
    assert row.value == pytest.approx(((0.60 - 0.50) + (0.62 - 0.56)) / 2)
    # Only seed 0 is there for both.
    assert one(rows, kind="difference", baseline="siglip", metric="fine P@10").value == pytest.approx(0.20)
    # What is the same in both methods cancels, whatever its noise.
    same = found.finals["medtrim"]
    twin = collect(suite, Evaluations({"medtrim": same, "clip": same}))
    row = one(twin, kind="difference", metric="fine P@10")
    assert (row.value, row.low, row.high, row.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_best_other_is_chosen_by_figure_and_direction_of_better(suite: Suite, make_evaluation: Make) -> None:
    rows = collect(suite, finals(make_evaluation))
    assert one(rows, kind="best", metric="fine P@10").baseline == "clip"
    assert one(rows, kind="best", metric="wrong side @R").baseline == "siglip"
    best = [r for r in rows if r.kind == "best"]
    assert all(r.p_holm >= r.p for r in best)
    assert max(r.p_holm for r in best) <= 1


def test_ablations_are_no_rivals(values: dict[str, Any], make_evaluation: Make) -> None:
    values["methods"]["clip"]["ablation_of"] = "medtrim"
    rows = collect(build_suite(values), finals(make_evaluation))
    assert one(rows, kind="best", metric="fine P@10").baseline == "siglip"


def test_what_failed_is_left_out(suite: Suite, make_evaluation: Make) -> None:
    held = finals(make_evaluation).finals
    without = collect(suite, Evaluations({m: r for m, r in held.items() if m != "medtrim"}))
    assert {r.kind for r in without} == {"seed", "pooled"}


def test_undefined_figures_are_not_compared(suite: Suite, make_evaluation: Make) -> None:
    nan = float("nan")
    rows = collect(
        suite,
        Evaluations({"medtrim": {0: make_evaluation({WRONG: nan})}, "clip": {0: make_evaluation({WRONG: 0.1})}}),
    )
    assert not [r for r in rows if r.kind == "best"]


def test_the_main_table_follows_what_is_measured(suite: Suite, values: dict[str, Any]) -> None:
    assert {k.task for k in headline_keys(suite)} == {"retrieval"}
    values["evaluation"] |= {"zero_shot": True, "probes": [0.1, 1.0]}
    assert [k.task for k in headline_keys(build_suite(values))][-2:] == ["zero-shot", "probe 100%"]


def test_rows_survive_the_disk(suite: Suite, make_evaluation: Make, tmp_path: Path) -> None:
    rows = collect(suite, finals(make_evaluation))
    write_rows(rows, tmp_path / "r.parquet", Provenance("suite-results"))
    assert str(read_rows(tmp_path / "r.parquet")) == str(tuple(rows))  # as text, since NaN is not itself


EFFUSION = Finding("pleural effusion", "present", ("small",), ("left",))
TRUTH = {
    **{f"a{i:02d}": Annotation(f"a{i:02d}", (EFFUSION,)) for i in range(12)},
    **{f"b{i:02d}": Annotation(f"b{i:02d}", (Finding("edema", "absent"),)) for i in range(12)},
    **{f"c{i:02d}": Annotation(f"c{i:02d}", (EFFUSION, Finding("edema", "uncertain"))) for i in range(10)},
    "d00": Annotation("d00", (Finding("hernia", "present", ("large",)),)),
}


def test_groups_are_of_what_the_truth_says() -> None:
    ids = sorted(TRUTH)
    groups = query_groups(ids, ids, TRUTH)
    counts = {name: int(mask.sum()) for name, mask in groups.members.items()}
    assert counts == {
        "descriptor: left": 22,
        "descriptor: small": 22,
        "disease: edema": 10,
        "disease: pleural effusion": 22,
    }


def test_group_shares_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i // 2}" for i in range(20)]
    members = {"x": rng.random(20) < 0.5, "y": rng.random(20) < 0.3, "none": np.zeros(20, bool)}
    numerator, denominator = rng.random(20), 1 + rng.integers(0, 3, 20).astype(float)
    denominator[:4] = np.nan
    bootstrap = PatientBootstrap(patients, resamples=7, seed=0)
    found = group_shares(
        numerator, denominator, QueryGroups(tuple(map(str, range(20))), tuple(patients), members), bootstrap
    )
    weights = bootstrap.weights[:, bootstrap.patient_of]
    for column, mask in enumerate(members.values()):
        chosen = [i for i in range(20) if mask[i] and denominator[i] == denominator[i]]
        assert found.counts[column] == len(chosen)
        for b in range(7):
            top = sum(weights[b, i] * numerator[i] for i in chosen)
            bottom = sum(weights[b, i] * denominator[i] for i in chosen)
            expected = top / bottom if bottom else float("nan")
            assert found.replicates[b, column] == pytest.approx(expected, nan_ok=True)
        if chosen:
            expected = sum(numerator[i] for i in chosen) / sum(denominator[i] for i in chosen)
            assert found.values[column] == pytest.approx(expected)
