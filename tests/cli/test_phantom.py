from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.types.tables import provenance_of, read_studies


def test_phantom_writes_a_corpus_and_says_where(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["phantom", "-n", "6", "-o", str(tmp_path), "--size", "32", "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "6 studies" in result.output
    studies = read_studies(tmp_path / "studies.parquet")
    assert len(studies) == 6
    assert all((tmp_path / s.images[0]).is_file() for s in studies)


def test_phantom_refuses_absurd_sizes(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["phantom", "-n", "6", "-o", str(tmp_path), "--size", "8"])
    assert result.exit_code == 2


def test_another_world_is_drawn_and_an_unknown_one_refused(tmp_path: Path) -> None:
    arguments = ["phantom", "-n", "4", "-o", str(tmp_path / "b"), "--size", "32", "--workers", "1", "--world"]
    assert CliRunner().invoke(app, [*arguments, "B"]).exit_code == 0
    made = provenance_of(pq.read_table(tmp_path / "b" / "studies.parquet"))
    assert made is not None
    assert made.config["world"] == "B"
    result = CliRunner().invoke(app, [*arguments, "Z"])
    assert "worlds: A, B, C" in str(result.exception)
