"""What every command shares: one writer an output at a time, a full disk that ends in a line, workers that end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.cli.console import printable, progress_bar, say, warn
from medtrim.errors import ConfigError
from medtrim.types import DISEASES, Annotation, Finding, Study
from medtrim.types.outputs import sole_writer
from medtrim.types.provenance import Provenance
from medtrim.types.tables import annotations_to_table, read_annotations, studies_to_table, write_table

WRITING = {
    "annotate": ("annotate", "in.csv", "-o", "OUT"),
    "mine": ("mine", "in.parquet", "-o", "OUT"),
    "phantom": ("phantom", "-o", "OUT"),
    "index": ("index", "model", "in.parquet", "-o", "OUT"),
    "evaluate": ("evaluate", "model", "--studies", "in.parquet", "-o", "OUT"),
    "train": ("train", "--studies", "in.parquet", "--annotations", "a.parquet", "-o", "OUT"),
    "import": ("data", "import", "in.csv", "-o", "OUT"),
}
COMMAND = (sys.executable, "-c", "from medtrim.cli import main; main()")


@pytest.mark.parametrize("command", WRITING)
def test_every_writing_command_refuses_an_output_that_is_being_written(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "out"
    with sole_writer(output):
        arguments = [str(output) if a == "OUT" else a for a in WRITING[command]]
        result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ConfigError)
    assert f"out is being written by process {os.getpid()}" in str(result.exception)
    with sole_writer(output):
        pass


def reports(path: Path, studies: int, text: str) -> Path:
    """A studies table; the reports differ, so that no sentence is read from memory."""
    rows = [Study(f"{path.stem}-{i}", f"p{i}", findings=f"{text} {i} mm nodule.") for i in range(studies)]
    write_table(studies_to_table(rows), path, Provenance("studies"))
    return path


def test_two_annotations_into_one_file_leave_the_first_ones_whole_and_say_so(tmp_path):
    output = tmp_path / "a.parquet"
    inputs = [reports(tmp_path / f"{name}.parquet", 1500, "Small left effusion.") for name in ("one", "two")]
    runs = [
        subprocess.Popen([*COMMAND, "annotate", i, "-o", output], stderr=subprocess.PIPE, text=True) for i in inputs
    ]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert sorted(run.returncode for run in runs) in ([0, 2], [0, 0])  # one may have ended before the other began
    kept = {a.study_id.split("-")[0] for a in read_annotations(output)}
    assert len(kept) == 1
    for run, name, error in zip(runs, ("one", "two"), errors, strict=True):
        if run.returncode:
            assert kept != {name}
            assert "is being written by process" in error


def test_workers_of_a_killed_annotation_end_and_its_partial_output_goes_with_the_next(tmp_path):
    output = tmp_path / "a.parquet"
    source = reports(tmp_path / "r.parquet", 15_000, "Small left effusion.")
    with subprocess.Popen([*COMMAND, "annotate", source, "-o", output, "--workers", "2"]) as run:
        workers: list[psutil.Process] = []
        while len(workers) < 2:
            assert run.poll() is None
            workers = [p for p in psutil.Process(run.pid).children() if "spawn_main" in " ".join(p.cmdline())]
            time.sleep(0.05)
        while not list(tmp_path.glob(".a.parquet.*.part")):
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    _, living = psutil.wait_procs(workers, timeout=100)
    assert not living
    parts = list(tmp_path.glob(".a.parquet.*.part"))
    assert [oct(p.stat().st_mode & 0o777) for p in parts] == ["0o600"]
    result = CliRunner().invoke(app, ["annotate", str(reports(tmp_path / "s.parquet", 3, "x")), "-o", str(output)])
    assert result.exit_code == 0
    assert not list(tmp_path.glob(".*"))


def small_disk() -> None:
    """Let this process write files of 5 kB at most; beyond, the system refuses as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))


@pytest.mark.parametrize("command", ["annotate", "mine"])
def test_a_disk_without_room_ends_a_command_with_one_line_and_nothing_half_written(tmp_path, command):
    source = reports(tmp_path / "r.parquet", 2000, "Small left effusion.")
    if command == "mine":
        rng = np.random.default_rng(0)
        drawn = [
            Annotation(f"s{i}", tuple(Finding(name, "present") for name in DISEASES[:-1] if rng.random() < 0.3))
            for i in range(2000)
        ]
        write_table(annotations_to_table(drawn), source, Provenance("annotations"))
    output = tmp_path / "out.parquet"
    run = subprocess.run(
        [*COMMAND, command, source, "-o", output, *(["--miner", "corpus"] if command == "mine" else [])],
        preexec_fn=small_disk,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # it would be cut off as well, and stay
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    (said,) = [line for line in run.stderr.splitlines() if line.startswith("error:")]
    assert said.startswith(f"error: {output}")
    assert said.endswith("cannot be written (File too large)")
    assert "Traceback" not in run.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != source]


def test_a_bar_that_counted_nothing_leaves_nothing(capsys):
    with progress_bar("images"):
        pass
    assert not capsys.readouterr().err.strip()
    with progress_bar("images") as images:
        images(2, 2)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("study 7, gauche: épanchement\n\t胸", "study 7, gauche: épanchement\n\t胸"),
        ("1\u00a0000", "1\u00a0000"),
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
        ("a\rb\x85c\u202ed\x7f", "a\\rb\\x85c\\u202ed\\x7f"),
    ],
)
def test_an_id_cannot_steer_the_terminal(text, shown, capsys):
    assert printable(text) == shown
    say(text)
    warn(text, label="error:")
    said = capsys.readouterr()
    assert not {"\x1b]", "\x07", "\r", "\x85", "\u202e", "\x7f"} & {*said.out, *said.err}
