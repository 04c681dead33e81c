"""The whole way on an archive of 2,000 studies in MIMIC-CXR's layout, training killed and resumed on it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "rehearsal.py"


@pytest.mark.slow
def test_every_stage_ends_well_at_2000_studies(tmp_path):
    command = [sys.executable, SCRIPT, "--studies", "2000", "--steps", "200", "--folder", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    told = [line.split()[0] for line in run.stdout.splitlines() if line.startswith("  ")]
    assert told == [
        "import",
        "annotate",
        "cache",
        "mine",
        "dry-run",
        "train",
        "train",
        "evaluate",
        "index",
        "search",
    ]
    assert "killed, resumes from step-" in run.stdout
    assert (tmp_path / "2000" / "run" / "model" / "config.json").exists()
