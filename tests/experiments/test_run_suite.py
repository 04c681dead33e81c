"""Whole suites on tiny phantoms; runs are made in this process, which spares each the loading of PyTorch."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import ConfigError
from medtrim.experiments import run_suite as run_suite_module
from medtrim.experiments import worker
from medtrim.experiments.load import build_suite
from medtrim.experiments.outputs import OUTPUTS
from medtrim.experiments.report.markdown import main_table
from medtrim.experiments.report.page import write_page
from medtrim.experiments.results import gather, read_results, write_results
from medtrim.experiments.run_suite import SuiteRun, forget, run_suite
from medtrim.experiments.runner import RESULT, Job, Outcome, Running, Snapshot
from medtrim.experiments.schema import Suite
from medtrim.types.yamlfile import dump_yaml, load_yaml
from research.__main__ import app as research
from research.suite_page import docs_section, write_docs_section


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
        "curve": {"every": 4, "studies": 12},
        "sweeps": [
            {"title": "Findings missed", "method": "medtrim", "keys": ["errors.missed"], "values": [0, 0.5]}
        ],
        "unseen": {"name": "40 phantoms of world B", "studies": 40, "size": 64},
        "page": {"gallery": 2, "failures": 2, "map_studies": 20},
        "jobs": 1,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_suite_module, "run_jobs", run_here)
        return run_suite(build_suite(whole_values()), tmp_path_factory.mktemp("suite"))


def test_trained_models_are_judged_on_unseen_phantoms_once_and_apart(whole: SuiteRun) -> None:
    assert whole.unseen is not None
    assert whole.unseen.counts["test"] == 40
    assert [o.job.title for o in whole.unseen_outcomes] == ["medtrim, seed 0, unseen", "clip, seed 0, unseen"]
    results = gather(whole)
    unseen = results.unseen
    assert unseen is not None
    assert unseen.methods == ("medtrim", "clip")
    keys = [key for key in results.headline if not key.task.startswith("probe")]
    for key in keys:
        ours, seen = unseen.pooled("medtrim", key), results.pooled("medtrim", key)
        assert ours is not None
        assert seen is not None
        assert ours.n <= 40
    assert any(unseen.pooled("clip", key).value != results.pooled("clip", key).value for key in keys)  # type: ignore[union-attr]
    page = docs_section(results)
    assert "40 phantoms of world B" in page
    assert "On 40 phantoms of world B: **MedTrim against the best other method**" in page
    assert page.index("of another generator") > page.index("All figures of the main table")


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

    monkeypatch.setattr(run_suite_module, "run_jobs", listed)
    run_suite(build_suite(whole_values()), whole.folder)
    assert {name.partition("-")[0] for name in started} == {"broken"}
    started.clear()
    changed = whole_values()
    changed["methods"]["clip"]["train"] = {"optimizer": {"weight_decay": 0.1}}
    run_suite(build_suite(changed), whole.folder)
    assert {name.partition("-")[0] for name in started} == {"broken", "clip"}


def test_two_processes_do_not_share_a_folder(whole: SuiteRun) -> None:
    with (
        run_suite_module._locked(whole.folder),
        pytest.raises(ConfigError, match="another process"),
    ):
        run_suite(build_suite(whole_values()), whole.folder)


def test_methods_see_no_truth_and_no_test_annotations(whole: SuiteRun) -> None:
    from medtrim.types.tables import read_annotations, read_studies

    studies = read_studies(whole.corpus.studies)
    assert all(not s.labels for s in studies)
    training = {s.study_id for s in studies if s.split == "train"}
    assert {a.study_id for a in read_annotations(whole.corpus.annotations)} == training


def test_the_docs_page_marks_the_value_of_a_sweep_that_the_tables_use(whole: SuiteRun) -> None:
    results = gather(whole)
    section = docs_section(results).partition("**Findings missed** (MedTrim)")[2].partition("</details>")[0]
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
    assert docs_section(read) == docs_section(results)
    assert "<summary>MedTrim minus each other method</summary>" in docs_section(read)
    assert "goes on from" not in main_table(read)
    started = {**read.facts, "suite": {"start": {"objective": "clip", "phantom": {"studies": 40}}}}
    assert "which `clip` has trained on 40 other phantoms" in main_table(replace(read, facts=started))
    assert read.methods == ("medtrim", "clip")
    assert {"seed", "pooled", "difference", "breakdown", "sweep"} <= {r.kind for r in read.rows}
    values = json.loads((whole.folder / "results.json").read_text())
    assert values["failures"]
    page = write_page(read, whole, whole.folder).read_text(encoding="utf-8")
    for words in (
        "In words",
        "Main table",
        "Gallery",
        "Training",
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
    monkeypatch.setattr(run_suite_module, "run_jobs", run_here)
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
    readme.write_text(
        "before\n<!-- results:begin -->\nwhat was there\n<!-- results:end -->\nafter\n", encoding="utf-8"
    )
    pages = ["--into", str(readme), "--docs", str(tmp_path / "results.md")]
    ended = CliRunner().invoke(research, ["suite", str(whole.folder), *pages])
    assert ended.exit_code == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "what was there" not in text
    assert "| **MedTrim** |" in text
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Results\n")
    read = read_results(whole.folder)
    write_docs_section(read, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == page, "an older section is replaced"
    more = replace(read, facts={**read.facts, "seeds": [0, 1]})
    write_docs_section(more, tmp_path / "results.md")
    both = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert both.startswith(page.rstrip())
    assert both.count(f"## {read.facts['title']}\n") == 2


def files_of(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def one_method(**changes: Any) -> Suite:
    """A suite of one method that keeps the newest run of each method."""
    values = {
        "name": "one",
        "data": {"phantom": {"studies": 60, "size": 32}, "reference": "test-truth"},
        "train": {"recipe": "tiny-cpu", "steps": 2, "batch": {"size": 8}, "model": {"image_size": 32}},
        "methods": {"clip": {"label": "CLIP", "objective": "clip"}},
        "ours": "clip",
        "evaluation": {"resamples": 10, "zero_shot": False, "probes": []},
        "page": {"failures": 0, "map_studies": 0},
        "run_folders": "method",
        "jobs": 1,
    }
    return build_suite({**values, **changes})


@pytest.mark.parametrize(
    "name", ["corpus/studies.csv", "runs/clip/a", "report.html", "results.json", "suite.json", "index/a", OUTPUTS]
)
def test_files_of_others_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    with pytest.raises(ConfigError, match="is there and was not made by this run: choose another folder"):
        run_suite(one_method(), tmp_path / "out")
    assert files_of(tmp_path / "out") == {name: "somebody's"}


TABLE = "image,findings,impression,patient_id\na.png,No effusion.,Normal.,p\n"


@pytest.mark.parametrize("name", ["corpus/studies.csv", "runs/clip/studies.csv", "results.parquet"])
def test_a_source_that_an_output_would_replace_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(TABLE)
    (tmp_path / OUTPUTS).write_text(json.dumps({"outputs": ["corpus", "runs/clip", "results.parquet"]}))
    before = files_of(tmp_path)
    with pytest.raises(ConfigError, match=r"lies in .*choose another folder"):
        run_suite(one_method(data={"studies": tmp_path / name}), tmp_path)
    assert files_of(tmp_path) == before


def test_images_inside_an_output_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "corpus" / "images").mkdir(parents=True)
    (tmp_path / "out" / OUTPUTS).write_text(json.dumps({"outputs": ["corpus"]}))
    (tmp_path / "mine.csv").write_text(TABLE)
    data = {"studies": tmp_path / "mine.csv", "image_root": tmp_path / "out" / "corpus" / "images"}
    with pytest.raises(ConfigError, match="images lies in"):
        run_suite(one_method(data=data), tmp_path / "out")


def test_a_bad_recipe_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.rate"):
        run_suite(one_method(train={"optimizer": {"rate": 1}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_folder_a_method_takes_one_seed_and_no_search() -> None:
    for changes in ({"seeds": [0, 1]}, {"tuning": {"trials": 1}}):
        with pytest.raises(ConfigError, match="run_folders: method"):
            one_method(**changes)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished suite; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_suite_module, "run_jobs", run_here)
        assert not run_suite(one_method(), folder).failures
    return folder


@pytest.fixture
def copy(one: Path, tmp_path: Path) -> Path:
    shutil.copytree(one, tmp_path / "one")
    # The corpus's record has absolute paths; the copy reads the corpus of the original.
    return tmp_path / "one"


class Workers:
    """Stands for `run_jobs`: keeps which files each run's folder has when its worker would start."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def __call__(self, jobs: Sequence[Job], **options: Any) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            self.found[job.folder.name] = {p.name for p in job.folder.iterdir()}
            outcomes.append(Outcome(job, "skipped" if (job.folder / RESULT).exists() else "failed"))
        return outcomes


def test_a_finished_run_is_kept_and_other_files_beside_it_stay(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "mine.txt").write_text("mine")
    (copy / "runs" / "mine").mkdir()
    workers = Workers()
    monkeypatch.setattr(run_suite_module, "run_jobs", workers)
    assert [o.state for o in run_suite(one_method(), copy).outcomes] == ["skipped"]
    assert {"model", "evaluation", RESULT, "metrics.jsonl"} <= workers.found["clip"]
    assert (copy / "mine.txt").read_text() == "mine"
    assert (copy / "runs" / "mine").is_dir()


def test_what_another_configuration_left_is_gone_before_the_worker_starts(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is quicker than the process that clears its folder would lose what it wrote."""
    (copy / "runs" / "mine").mkdir()
    workers = Workers()
    monkeypatch.setattr(run_suite_module, "run_jobs", workers)
    run_suite(one_method(evaluation={"resamples": 11, "zero_shot": False, "probes": []}), copy)
    assert workers.found == {"clip": {"run.json"}}
    assert (copy / "runs" / "mine").is_dir()
    run_suite(one_method(evaluation={"resamples": 11, "zero_shot": False, "probes": []}), copy)
    assert workers.found == {"clip": {"run.json"}}, "the folder is not locked by what it has made itself"


def test_a_slow_parent_takes_nothing_from_its_worker(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = run_suite_module.Outputs.claim

    def slow(self: Any, names: Any) -> None:
        time.sleep(0.3)
        real(self, names)

    monkeypatch.setattr(run_suite_module.Outputs, "claim", slow)
    monkeypatch.setattr(run_suite_module, "run_jobs", run_here)
    changed = one_method(evaluation={"resamples": 12, "zero_shot": False, "probes": []})
    done = run_suite(changed, copy)
    assert not done.failures
    results = gather(done)
    assert results.facts["evaluation"]["resamples"] == 12
    assert [o.state for o in run_suite(changed, copy).outcomes] == ["skipped"]


def test_an_interrupted_run_goes_on_with_the_training_that_ended(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy / "runs" / "clip"
    (run / RESULT).unlink()
    shutil.rmtree(run / "evaluation")
    trained = (run / "model" / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(run_suite_module, "run_jobs", run_here)
    assert [o.state for o in run_suite(one_method(), copy).outcomes] == ["done"]
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == trained
    assert (run / "evaluation" / "evaluation.json").exists()


def test_forgetting_has_everything_made_again_and_touches_no_file_of_others(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "mine.txt").write_text("mine")
    forget(copy)
    assert not (copy / "runs" / "clip" / RESULT).exists()
    assert not (copy / "corpus" / "corpus.json").exists()
    assert (copy / "runs" / "clip" / "model").exists(), "replaced when it is made again, not before"
    workers = Workers()
    monkeypatch.setattr(run_suite_module, "run_jobs", workers)
    run_suite(one_method(), copy)
    assert workers.found == {"clip": {"run.json"}}
    assert (copy / "mine.txt").read_text() == "mine"
    (tmp_path / "others").mkdir()
    forget(tmp_path / "others")
    assert not list((tmp_path / "others").iterdir())
    forget(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_results_of_an_own_folder_name_no_path(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_suite_module, "run_jobs", Workers())
    done = run_suite(one_method(), one)
    suite = done.suite.model_copy(
        update={"data": done.suite.data.model_copy(update={"studies": Path("/secret/place/mine.csv")})}
    )
    assert gather(replace(done, suite=suite)).facts["suite"]["data"]["studies"] == "mine.csv"
