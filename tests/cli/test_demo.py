from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.errors import ConfigError, TableError
from medtrim.experiments import run_suite as run_suite_module
from medtrim.experiments import worker
from medtrim.experiments.load import packaged
from medtrim.experiments.report.mining_facts import mining_facts
from medtrim.experiments.results import read_results
from medtrim.experiments.runner import RESULT, Job, Outcome, Running, Snapshot, run_jobs
from medtrim.models import load_checkpoint
from medtrim.types.tables import read_studies

runner = CliRunner()
SMALL = ("-n", 150, "--steps", 3, "--size", 32, "--set", "batch.size=24")


def run(*arguments: object) -> Result:
    return runner.invoke(app, [str(a) for a in arguments])


def run_here(jobs: Sequence[Job], **options: Any) -> list[Outcome]:
    """What `run_jobs` does, in this process, which spares each run the loading of PyTorch."""
    outcomes = []
    for job in jobs:
        if (job.folder / RESULT).exists():
            outcomes.append(Outcome(job, "skipped"))
        else:
            code = worker.main([str(job.folder)])
            outcomes.append(Outcome(job, "failed" if code else "done", 1.0, "see its log" if code else ""))
    return outcomes


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A demo whose first run is made by a real worker, the others in this process."""
    folder = tmp_path_factory.mktemp("demo") / "[red]out"  # what a terminal would take for markup

    def run_first_apart(jobs: Sequence[Job], *, watch: Callable[[Snapshot], None], **options: Any) -> list[Outcome]:
        first = run_jobs(jobs[:1], watch=watch, poll=0.02, **options)  # often enough to see each stage
        for job in jobs[1:]:
            watch(Snapshot(1, 0, len(jobs), (Running(job, 0, "training"),)))
        return first + run_here(jobs[1:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_suite_module, "run_jobs", run_first_apart)
        result = run("demo", "-o", folder, *SMALL)
    assert result.exit_code == 0, (result.output, result.exception)
    return folder, result


def test_the_whole_way_ends_in_a_report(made: tuple[Path, Result]) -> None:
    folder, result = made
    html = (folder / "report.html").read_text(encoding="utf-8")
    titles = ("In words", "Main table", "Training", "Gallery", "Map of the embeddings", "What was run")
    for title in titles:
        assert f">{title}</h2>" in html
    assert f'<pre class="command">{escape(shlex.join(["medtrim", *sys.argv[1:]]))}</pre>' in html
    assert str(folder / "report.html") in result.output.replace("\n", "")
    assert "far too small" in result.output
    assert "the same three points for each of eight methods" in html
    assert escape(packaged("demo")["methods"]["medtrim"]["caution"]) in html
    mined = mining_facts(folder / "corpus" / "annotations.parquet", seed=0)
    assert mined.triplets > 0
    assert f"{mined.triplets:,} triplets that this run mined" in html
    for line in ("drawing phantoms", "reading reports", "medtrim, seed 0: training", "clip, seed 0: training"):
        assert line in result.output


def test_the_last_lines_lead_to_the_search_page(made: tuple[Path, Result]) -> None:
    folder, result = made
    last = result.output.strip().splitlines()[-1]
    assert f"medtrim serve {shlex.quote(str(folder / 'index'))}" in last
    assert "large left pleural effusion" in last
    shown = run("search", folder / "index", "--text", "large left pleural effusion", "-k", 2)
    assert shown.exit_code == 0, shown.output


def test_results_are_tables_too(made: tuple[Path, Result]) -> None:
    folder, _ = made
    results = read_results(folder)
    pooled = {(r.method, r.key): r.value for r in results.of("pooled")}
    assert {m for m, _ in pooled} == {"medtrim", "clip"}
    differences = results.of("difference")
    assert {r.baseline for r in differences} == {"clip"}
    for row in differences:
        expected = pooled["medtrim", row.key] - pooled["clip", row.key]
        assert row.value == pytest.approx(expected, nan_ok=True)
    summary = json.loads((folder / "results.json").read_text())
    assert summary["corpus"]["train"] == sum(
        s.split == "train" for s in read_studies(folder / "corpus/studies.parquet")
    )
    assert len(summary["rows"]) > len(results.of("best")) > 0


def test_both_methods_had_the_same_budget(made: tuple[Path, Result]) -> None:
    folder, _ = made
    runs = read_results(folder).facts["runs"]
    assert {m: facts["encodings"] for m, facts in runs.items()} == {"medtrim": 72, "clip": 72}
    for method in ("medtrim", "clip"):
        assert load_checkpoint(folder / "runs" / method / "model").image_size == 32


def test_running_again_trains_nothing(made: tuple[Path, Result]) -> None:
    folder, _ = made
    before = [(folder / "runs" / m / RESULT).stat().st_mtime_ns for m in ("medtrim", "clip")]
    rows = read_results(folder).rows
    result = run("demo", "-o", folder, *SMALL)
    assert result.exit_code == 0
    assert "training" not in result.output.partition("•")[0]
    assert [(folder / "runs" / m / RESULT).stat().st_mtime_ns for m in ("medtrim", "clip")] == before
    assert str(read_results(folder).rows) == str(rows)


def test_fresh_removes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "studies.csv").write_text("mine")
    result = run("demo", "-o", tmp_path, *SMALL, "--fresh")
    assert isinstance(result.exception, ConfigError)
    assert [p.name for p in tmp_path.iterdir()] == ["corpus"]
    assert (tmp_path / "corpus" / "studies.csv").read_text() == "mine"


def test_no_report_text_is_printed(made: tuple[Path, Result]) -> None:
    folder, result = made
    reports = [s.findings for s in read_studies(folder / "corpus/studies.parquet") if len(s.findings) > 20]
    assert not any(report[:40] in result.output for report in reports)


def test_ones_own_table_goes_the_same_way(
    made: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    table = tmp_path / "mine.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "who", "findings", "impression"])
        for study in read_studies(folder / "corpus/studies.parquet"):
            rows.writerow([study.images[0], study.patient_id, study.findings, study.impression])
        rows.writerow(["phantom/images/none.png", "p-x", "Normal.", ""])
        rows.writerow(["phantom/images/phantom-000000.png", "p-y", "", ""])
    monkeypatch.setattr(run_suite_module, "run_jobs", run_here)
    result = run(
        "run", table, "-o", tmp_path / "out", "--image-root", folder / "corpus",
        "--column", "images=file", "--column", "patient_id=who",
        "--methods", "clip", "--recipe", "tiny-cpu", "--steps", 2, "--batch", 16, "--size", 32, "--resamples", 50,
        "--strict",
    )  # fmt: skip
    assert result.exit_code == 1, (result.output, result.exception)  # two records were rejected
    out = tmp_path / "out"
    assert read_results(out).facts["corpus"]["rejects"] == 2
    studies = read_studies(out / "corpus/studies.parquet")
    assert {s.split for s in studies} == {"train", "val", "test"}
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "These studies have no labels" in html
    assert "patients: handle it as you handle those" in html
    assert "2 records could not be used" in html


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("demo", "--methods", "clap"), ConfigError, "unknown method 'clap'"),
        (("run", "nowhere.csv"), ConfigError, "does not exist"),
        (("run", __file__, "--split", "train=half"), ConfigError, "--split"),
        (("run", __file__, "--column", "findings"), ConfigError, "FIELD=COLUMN"),
        (("run", __file__, "--patients", "some"), ConfigError, "patients"),
        (("run", __file__), TableError, "neither a table"),
        (("run", __file__, "--set", "objective.name=clip"), ConfigError, "--methods"),
        (("run", __file__, "--set", "seed=3"), ConfigError, "--seed"),
        (("run", __file__, "--set", "out=there"), ConfigError, "--output"),
        (("demo", "--set", "steps=3"), ConfigError, "--steps"),
        (("demo", "--set", "model.image_size=32"), ConfigError, "--size"),
    ],
)
def test_bad_input_is_refused(
    arguments: tuple[str, ...], error: type[Exception], message: str, tmp_path: Path
) -> None:
    result = run(*arguments, "-o", tmp_path / "out")
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
