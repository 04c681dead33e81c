from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from medtrim.errors import ConfigError, MedTrimError
from research.__main__ import app
from research.results import insert_block

runner = CliRunner()


def run(*arguments: object):
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture
def reports(tmp_path):
    rows = [
        {
            "study_id": f"r{i}",
            "findings": f"There is a {('left', 'right')[i % 2]} pleural effusion, film {i}.",
            "codes": f"Pleural Effusion/{('left', 'right')[i % 2]}; Spine/degenerative",
        }
        for i in range(60)
    ]
    path = tmp_path / "reports.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_text_order_prints_its_table_and_leaves_it(reports, tmp_path):
    out = tmp_path / "out"
    options = ("--codes", "codes", "--method", "simcse", "--seed", 0, "--rate", 1e-3, "--steps", 1, "--batch", 8)
    result = run("text-order", reports, "-o", out, *options, "--looks", 1, "--resamples", 20)
    assert result.exit_code == 0, result.output
    assert "SimCSE-style contrast" in result.output
    assert "film" not in result.output
    assert {p.name for p in out.iterdir()} >= {"results.parquet", "differences.parquet", "results.json", "table.md"}


def test_a_column_without_codes_is_named(reports, tmp_path):
    result = run("text-order", reports, "-o", tmp_path / "out", "--codes", "mesh")
    assert isinstance(result.exception, MedTrimError)
    assert "column 'mesh'" in str(result.exception)


BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@pytest.mark.parametrize("text", ["no marks", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_marks_stand_once_each_and_in_order(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ConfigError, match="once each, in this order"):
        insert_block(page, "results", "block\n")
    assert page.read_text() == text


def test_a_page_without_marks_is_refused_before_anything_is_read(reports, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Results\n")
    result = run("text-order", tmp_path / "no-such-table.csv", "-o", tmp_path / "out", "--into", page)
    assert isinstance(result.exception, MedTrimError)
    assert "<!-- text-order:begin -->" in str(result.exception)
