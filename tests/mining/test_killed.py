"""A run that is really killed, as a user would see it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medtrim.types import Provenance
from medtrim.types.tables import annotations_to_table, write_table

RUN = """
import sys
from medtrim.mining import plan
plan.SHARD_DISTINCT = 16
from medtrim.cli import main
main()
"""


def family(parent: int) -> list[int]:
    """Child processes."""
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for child processes in /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_keeps_its_shards_ends_its_workers_and_goes_on(drawn, tmp_path, workers):
    write_table(annotations_to_table(drawn(4000)), tmp_path / "a.parquet", Provenance("annotations"))

    def command(name: str) -> list[str]:
        arguments = ["mine", str(tmp_path / "a.parquet"), "-o", str(tmp_path / name), "--miner", "corpus"]
        return [sys.executable, "-c", RUN, *arguments, "--workers", str(workers)]

    subprocess.run(command("whole.parquet"), check=True, capture_output=True)
    shards = tmp_path / "killed.parquet.shards"
    with subprocess.Popen(command("killed.parquet"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while len(list(shards.glob("shard-*.parquet"))) < 3:
            assert run.poll() is None
            time.sleep(0.01)
        children = family(run.pid)
        run.send_signal(signal.SIGKILL)
    kept = {path.name: path.stat().st_mtime_ns for path in shards.glob("shard-*.parquet")}
    assert len(kept) >= 3
    assert not (tmp_path / "killed.parquet").exists()
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    resumed = subprocess.run(command("killed.parquet"), check=True, capture_output=True, text=True)
    assert "triplets" in resumed.stdout
    assert (tmp_path / "killed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not shards.exists()
