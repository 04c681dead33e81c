from __future__ import annotations

import csv
import json
import shlex
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from markupsafe import escape
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.errors import ConfigError, TableError
from medtrim.experiments.methods import method_specs
from medtrim.models import load_checkpoint
from medtrim.types.tables import provenance_of, read_annotations, read_studies

runner = CliRunner()
SMALL = ("-n", 150, "--steps", 3, "--size", 32)


def run(*arguments: object) -> Result:
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("demo") / "[red]out"  # what a terminal would take for markup
    result = run("demo", "-o", folder, *SMALL, "--set", "batch.size=24")
    assert result.exit_code == 0, (result.output, result.exception)
    return folder, result


def test_the_whole_way_ends_in_a_report(made: tuple[Path, Result]) -> None:
    folder, result = made
    html = (folder / "report.html").read_text(encoding="utf-8")
    for title in ("In words", "Retrieval", "Classification", "Gallery", "Map of the embeddings", "What was run"):
        assert f">{title}</h2>" in html
    assert f'<pre class="command">{escape(shlex.join(["medtrim", *sys.argv[1:]]))}</pre>' in html
    assert str(folder / "report.html") in result.output.replace("\n", "")
    assert "far too small" in result.output
    assert "the same three points for each of eight methods" in html
    assert escape(method_specs()["medtrim"].caution) in html
    mined = json.loads((folder / "results.json").read_text())["mining"]
    assert mined["triplets"] == len(pq.read_table(folder / "triplets.parquet")) > 0
    assert f"{mined['triplets']:,} triplets that this run mined" in html
    for name in ("draw phantoms", "read reports", "mine triplets", "train MedTrim", "train CLIP", "evaluate CLIP"):
        assert f"✓ {name}" in result.output


def test_results_are_tables_too(made: tuple[Path, Result]) -> None:
    folder, _ = made
    table = pq.read_table(folder / "metrics.parquet")
    assert provenance_of(table) is not None
    rows = table.to_pylist()
    assert {r["method"] for r in rows} == {"medtrim", "clip"}
    assert {r["baseline"] for r in rows} == {"", "clip"}
    absolute = {
        (r["method"], r["task"], r["metric"], r["direction"], r["queries"], r["target"]): r["value"]
        for r in rows
        if not r["baseline"]
    }
    for row in rows:
        if row["baseline"]:
            key = (row["task"], row["metric"], row["direction"], row["queries"], row["target"])
            expected = absolute[("medtrim", *key)] - absolute[("clip", *key)]
            assert row["value"] == pytest.approx(expected, nan_ok=True)
    summary = json.loads((folder / "results.json").read_text())
    assert summary["corpus"]["train"] == sum(
        s.split == "train" for s in read_studies(folder / "corpus/studies.parquet")
    )
    assert "gallery" not in summary


def test_both_methods_had_the_same_budget(made: tuple[Path, Result]) -> None:
    folder, _ = made
    methods = json.loads((folder / "results.json").read_text())["methods"]
    assert [m["encodings"] for m in methods] == [72, 72]
    for method in ("medtrim", "clip"):
        assert load_checkpoint(folder / "runs" / method / "model").image_size == 32


def test_running_again_reuses_every_stage(made: tuple[Path, Result]) -> None:
    folder, _ = made
    before = (folder / "metrics.parquet").read_bytes()
    result = run("demo", "-o", folder, *SMALL, "--set", "batch.size=24")
    assert result.exit_code == 0
    assert result.output.count("done before") == 8
    assert (folder / "metrics.parquet").read_bytes() == before


def test_fresh_runs_again_and_removes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "studies.csv").write_text("mine")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "studies.json").write_text('{"notes": 1}')
    result = run("demo", "-o", tmp_path, *SMALL, "--fresh")
    assert isinstance(result.exception, ConfigError)
    assert (tmp_path / "corpus" / "studies.csv").read_text() == "mine"
    assert (tmp_path / "state" / "studies.json").read_text() == '{"notes": 1}'


def test_no_report_text_is_printed(made: tuple[Path, Result]) -> None:
    folder, result = made
    reports = [s.findings for s in read_studies(folder / "corpus/studies.parquet") if len(s.findings) > 20]
    assert not any(report[:40] in result.output for report in reports)


def test_ones_own_table_goes_the_same_way(made: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = made
    table = tmp_path / "mine.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "who", "findings", "impression"])
        for study in read_studies(folder / "corpus/studies.parquet"):
            rows.writerow([study.images[0], study.patient_id, study.findings, study.impression])
        rows.writerow(["images/none.png", "p-x", "Normal.", ""])
        rows.writerow(["images/phantom-000000.png", "p-y", "", ""])
    result = run(
        "run", table, "-o", tmp_path / "out", "--image-root", folder / "corpus",
        "--column", "images=file", "--column", "patient_id=who",
        "--methods", "clip", "--steps", 2, "--batch", 16, "--size", 32, "--resamples", 50, "--strict",
    )  # fmt: skip
    assert result.exit_code == 1, (result.output, result.exception)  # two records were rejected
    out = tmp_path / "out"
    assert len(pq.read_table(out / "rejects.parquet")) == 2
    studies = read_studies(out / "corpus/studies.parquet")
    assert {s.split for s in studies} == {"train", "val", "test"}
    assert len(read_annotations(out / "annotations.parquet")) == len(studies)
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "Nobody has labelled these studies" in html
    assert "patients: handle it as you handle those" in html
    assert "2 records could not be used" in html


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("demo", "--methods", "clap"), ConfigError, "unknown method 'clap'"),
        (("run", "nowhere.csv"), ConfigError, "does not exist"),
        (("run", __file__, "--split", "train=half"), ConfigError, "--split"),
        (("run", __file__, "--column", "findings"), ConfigError, "FIELD=COLUMN"),
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
