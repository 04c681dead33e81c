"""The scripts and notebooks of `examples/` run, and what they show is so."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def script(name: str, *arguments: Any) -> Any:
    return runpy.run_path(str(EXAMPLES / name))["main"](*arguments)


def test_read_reports(tmp_path, capsys):
    assert {r["disease"] for r in script("read_reports.py").to_pylist()} >= {"pleural effusion", "pneumonia"}
    (tmp_path / "r.csv").write_text("study_id,report\nx,Mild edema.\ny,\n")
    assert script("read_reports.py", str(tmp_path / "r.csv"))["study_id"].to_pylist() == ["x"]
    assert "edema" in capsys.readouterr().out


def test_loss_in_your_loop():
    values = script("loss_in_your_loop.py", 25)
    assert sum(values[-5:]) < 0.9 * sum(values[:5])


def test_evaluate_your_embeddings():
    found = {(d.metric, d.direction): d for d in script("evaluate_your_embeddings.py", 40)}
    assert found["fine P@10", "i2t"].value > 0.2


def test_audit_triplets(workplace, capsys):
    mined = script("audit_triplets.py")
    assert all(len(triplets) > 10 for triplets in mined.values())
    script("audit_triplets.py", str(workplace / "annotations.parquet"))
    assert "anchor and negative share" in capsys.readouterr().out


def test_search_from_python(workplace):
    result = script("search_from_python.py", str(workplace / "index"))
    assert len(result.hits) == 5


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_run_from_top_to_bottom(path, tmp_path, monkeypatch):
    """Each code cell in one namespace; what a cell printed when the notebook was stored is what it prints now."""
    monkeypatch.chdir(tmp_path)
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    names: dict[str, Any] = {}
    for cell in cells:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), str(path), "exec"), names)
        stored = "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")
        assert bool(printed.getvalue()) == bool(stored)
