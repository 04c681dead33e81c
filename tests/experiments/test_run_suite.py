"""Whole suites on tiny phantoms; runs are made in this process, which spares each the loading of PyTorch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import ConfigError
from medtrim.experiments import conduct as conduct_module
from medtrim.experiments import worker
from medtrim.experiments.run_suite import SuiteRun, conduct
from medtrim.experiments.report.docs_page import docs_page
from medtrim.experiments.load import build_suite
from medtrim.experiments.report.markdown import BEGIN, END, insert_between, main_table
from medtrim.experiments.report.page import write_page
from medtrim.experiments.results import gather, read_results, write_results
from medtrim.experiments.runner import RESULT, Job, Outcome, Running, Snapshot
from medtrim.types.yamlfile import dump_yaml, load_yaml


def run_here(jobs: Sequence[Job], *, slots: int, threads: int, watch: Callable[[Snapshot], None]) -> list[Outcome]:
    """What `run_jobs` does, one job after the other in this process."""
    outcomes = []
    for job in jobs:
        if (job.folder / RESULT).exists():
            outcomes.append(Outcome(job, "skipped"))
            continue
        watch(Snapshot(len(outcomes), 0, len(jobs), (Running(job, 0, "training", 1, 2),)))
        code = worker.main([str(job.folder)])
        outcomes.append(Outcome(job, "failed" if code else "done", 1.0, "see its log" if code else ""))
        watch(Snapshot(len(outcomes), 0, len(jobs), ()))
    return outcomes


def whole_values() -> dict[str, Any]:
    return {
        "name": "whole",
        "data": {"name": "240 phantoms", "phantom": {"studies": 240, "size": 64}, "reference": "truth"},
        "train": {"recipe": "tiny-cpu", "steps": 4, "batch": {"size": 12}},
        "methods": {
            "medtrim": {
                "label": "MedTrim",
                "objective": "medtrim",
                "grid": {"optimizer.learning_rate": [3e-3, 1e-3]},
            },
            "clip": {"label": "CLIP", "objective": "clip", "grid": {"optimizer.learning_rate": [3e-3, 1e-3]}},
            # Its weights overflow, and every run of it fails.
            "broken": {
                "label": "Broken",
                "objective": "clip",
                "train": {"optimizer": {"learning_rate": 1e30, "warmup": 0, "max_grad_norm": 0}},
                "grid": {"optimizer.weight_decay": [0.0, 0.1]},
            },
        },
        "ours": "medtrim",
        "seeds": [0],
        "tuning": {"trials": 2, "metrics": ["disease P@10", "disease AUC"]},
        "evaluation": {"resamples": 30, "probes": [1.0]},
        "curve": {"every": 2, "studies": 12},
        "sweeps": [
            {"title": "Findings missed", "method": "medtrim", "keys": ["errors.missed"], "values": [0, 0.5]}
        ],
        "page": {"failures": 2, "map_studies": 20},
        "jobs": 1,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conduct_module, "run_jobs", run_here)
        return conduct(build_suite(whole_values()), tmp_path_factory.mktemp("suite"))


def test_failures_are_kept_apart(whole: SuiteRun) -> None:
    assert {o.job.folder.name.partition("-")[0] for o in whole.failures} == {"broken"}
    states = [(r.spec.method, o.state) for r, o in zip(whole.runs, whole.outcomes, strict=True)]
    assert states[:3] == [("medtrim", "done"), ("clip", "done"), ("broken", "failed")]


def test_the_search_is_recorded_and_followed(whole: SuiteRun) -> None:
    by_method = {m: [t for t in whole.trials if t.method == m] for m in ("medtrim", "clip", "broken")}
    assert [len(trials) for trials in by_method.values()] == [2, 2, 2]
    for method in ("medtrim", "clip"):
        chosen = [t for t in by_method[method] if t.chosen]
        assert len(chosen) == 1
        assert chosen[0].score == max(t.score for t in by_method[method])
        final = next(r for r in whole.runs if r.spec.method == method)
        assert final.point == chosen[0].point
    assert not any(t.chosen for t in by_method["broken"])
    assert all(math.isnan(t.score) for t in by_method["broken"])
    assert (whole.folder / "search.parquet").exists()


def test_a_sweep_at_the_default_is_the_final_run(whole: SuiteRun) -> None:
    folders = {r.x: o.job.folder for r, o in zip(whole.runs, whole.outcomes, strict=True) if r.role == "sweep"}
    final = next(o.job.folder for r, o in zip(whole.runs, whole.outcomes, strict=True) if r.role == "final")
    assert folders[0.0] == final
    assert folders[0.5] != final


def test_finished_runs_are_skipped_the_next_time(whole: SuiteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def listed(jobs: Sequence[Job], **options: Any) -> list[Outcome]:
        started.extend(j.folder.name for j in jobs if not (j.folder / RESULT).exists())
        return [Outcome(j, "skipped" if (j.folder / RESULT).exists() else "failed") for j in jobs]

    monkeypatch.setattr(conduct_module, "run_jobs", listed)
    conduct(build_suite(whole_values()), whole.folder)
    assert {name.partition("-")[0] for name in started} == {"broken"}
    started.clear()
    changed = whole_values()
    changed["methods"]["clip"]["train"] = {"optimizer": {"weight_decay": 0.1}}
    conduct(build_suite(changed), whole.folder)
    assert {name.partition("-")[0] for name in started} == {"broken", "clip"}


def test_two_processes_do_not_share_a_folder(whole: SuiteRun) -> None:
    with (
        conduct_module._locked(whole.folder),
        pytest.raises(ConfigError, match="another process"),
    ):
        conduct(build_suite(whole_values()), whole.folder)


def test_methods_see_no_truth_and_no_test_annotations(whole: SuiteRun) -> None:
    from medtrim.types.tables import read_annotations, read_studies

    studies = read_studies(whole.corpus.studies)
    assert all(not s.labels for s in studies)
    training = {s.study_id for s in studies if s.split == "train"}
    assert {a.study_id for a in read_annotations(whole.corpus.annotations)} == training


def test_the_docs_page_marks_the_value_of_a_sweep_that_the_tables_use(whole: SuiteRun) -> None:
    results = gather(whole)
    section = docs_page(results).partition("**Findings missed** (MedTrim)")[2].partition("##")[0]
    lines = [line.split(" | ") for line in section.strip().splitlines() if line.startswith("|")]
    assert [line[0] for line in lines[2:]] == ["| **0**", "| 0.5", "| ±"]
    main = results.pooled("medtrim", results.headline[0])
    assert main is not None
    assert lines[2][1].partition(" / ")[0] == f"{100 * main.value:.1f}"


def test_results_tables_and_page(whole: SuiteRun) -> None:
    results = gather(whole)
    write_results(results, whole.folder)
    read = read_results(whole.folder)
    assert main_table(read) == main_table(results)
    assert docs_page(read) == docs_page(results)
    assert "## MedTrim minus each other method" in docs_page(read)
    assert "goes on from" not in main_table(read)
    started = {**read.facts, "suite": {"start": {"objective": "clip", "phantom": {"studies": 40}}}}
    assert "which `clip` has trained on 40 other phantoms" in main_table(replace(read, facts=started))
    assert read.methods == ("medtrim", "clip")
    assert {"seed", "pooled", "difference", "breakdown", "sweep"} <= {r.kind for r in read.rows}
    values = json.loads((whole.folder / "results.json").read_text())
    assert values["failures"]
    page = write_page(read, whole, whole.folder).read_text(encoding="utf-8")
    for words in (
        "Main table",
        "Learning curves",
        "Findings missed",
        "Map of the embeddings",
        "Failures",
        "failed",
    ):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script src" not in page


def test_the_command_ends_with_an_error_where_runs_failed(
    whole: SuiteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct_module, "run_jobs", run_here)
    path = tmp_path / "whole.yaml"
    path.write_text(dump_yaml(whole_values()), encoding="utf-8")
    ended = CliRunner().invoke(app, ["experiment", str(path), "-o", str(whole.folder)])
    assert ended.exit_code == 1
    assert "start again to try them again" in ended.output
    assert "broken, seed 0: training" in ended.output
    chosen = CliRunner().invoke(app, ["experiment", "chosen", str(whole.folder)])
    assert chosen.exit_code == 0
    point = next(t.point for t in whole.trials if t.chosen and t.method == "clip")
    layer = load_yaml(chosen.output, source="chosen")["methods"]["clip"]
    assert layer == {"train": {"optimizer": {"learning_rate": point["optimizer.learning_rate"]}}}
    shown = CliRunner().invoke(app, ["experiment", "table", str(whole.folder), "--markdown"])
    assert shown.exit_code == 0
    assert "| **MedTrim** |" in shown.output
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nwhat was there\n{END}\nafter\n", encoding="utf-8")
    ended = CliRunner().invoke(
        app,
        ["experiment", "table", str(whole.folder), "--into", str(readme), "--docs", str(tmp_path / "results.md")],
    )
    assert ended.exit_code == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "what was there" not in text
    assert "| **MedTrim** |" in text
    assert (tmp_path / "results.md").read_text(encoding="utf-8").startswith("# Results")


@pytest.mark.parametrize("text", ["no markers", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_file_without_markers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="once each and in this order"):
        insert_between(text, "block", source="README.md")
