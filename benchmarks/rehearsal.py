"""The whole way on an archive in MIMIC-CXR-JPG's layout: seconds, memory and bytes of each step, and how they grow.

    python benchmarks/rehearsal.py --studies 2000 20000 [--steps 200] [--folder DIR] [--stages import,mine]

The archive: phantoms as JPEG in `files/p10/p10000000/s50000000/`, one to four studies a patient, a lateral film
beside every other frontal one, reports as text files, metadata and official splits as `.csv.gz`. A few thousand
films are drawn and linked to as many studies as are asked for; every report is another text. Each step is the
command that a user would type, in a process of its own: import, annotate, cache, mine, a dry run, training,
evaluation, index, search. Training is killed after its first checkpoint and resumed. With several sizes, it is told
what a thousand studies more cost, and what those of `--estimate` would.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medtrim.data.phantom import make_corpus
from medtrim.types.tables import read_studies

SIDE = 64
DRAWN = 2000
MEDTRIM = (sys.executable, "-c", "from medtrim.cli import main; main()")
# Runs a command and prints its processor seconds and peak resident memory in MiB; its own children do not count.
MEASURED = (
    "import resource, subprocess, sys\n"
    "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code)"
)
STAGES = ("import", "annotate", "cache", "mine", "dry-run", "train", "evaluate", "index", "search")


@dataclass(frozen=True)
class Cost:
    """What a stage took: seconds by the clock and of the processor, MiB at its peak, bytes that it left."""

    seconds: float
    processor: float
    memory: float
    size: int


def main() -> None:
    """Rehearse at each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[2000])
    parser.add_argument("--steps", type=int, default=200, help="training steps")
    parser.add_argument("--resamples", type=int, default=100, help="of evaluation's intervals")
    parser.add_argument("--stages", default=",".join(STAGES), help="in this order; a stage needs those before it")
    parser.add_argument("--folder", type=Path, help="work here and keep everything")
    parser.add_argument("--estimate", type=int, nargs="*", default=[], help="sizes to estimate")
    arguments = parser.parse_args()
    measured: dict[int, dict[str, Cost]] = {}
    for studies in sorted(arguments.studies):
        with tempfile.TemporaryDirectory() as name:
            folder = (arguments.folder or Path(name)) / str(studies)
            measured[studies] = rehearse(folder, studies, arguments)
    tell_growth(measured, arguments.estimate)


def rehearse(folder: Path, studies: int, arguments: argparse.Namespace) -> dict[str, Cost]:
    """Every stage at one size, each printed as it ends."""
    start = time.perf_counter()
    if not (folder / "archive").exists():
        write_archive(folder, studies)
    print(f"{studies:,} studies; archive written in {time.perf_counter() - start:.0f} s", flush=True)
    costs = {}
    for stage in arguments.stages.split(","):
        if stage == "train":
            kill_training(folder, arguments)
        costs[stage] = run(folder, stage, arguments)
        cost = costs[stage]
        print(
            f"  {stage:9} {cost.seconds:8.1f} s  {cost.processor:8.1f} s of processor  {cost.memory:6.0f} MiB  "
            f"{cost.size / 2**20:9.1f} MiB written",
            flush=True,
        )
    return costs


def command(folder: Path, stage: str, arguments: argparse.Namespace) -> list[str]:
    """The command of a stage, as a user types it."""
    table, annotations, cache = folder / "s.parquet", folder / "a.parquet", folder / "cache"
    corpus = ["--studies", table, "--annotations", annotations, "--cache", cache]
    commands: dict[str, list[Any]] = {
        "import": ["data", "import", folder / "archive", "-o", table],
        "annotate": ["annotate", table, "-o", annotations],
        "cache": ["data", "cache", table, "--size", SIDE, "-o", cache],
        "mine": ["mine", annotations, "-o", folder / "t.parquet", "--studies", table, "--split", "train",
                 "--miner", "corpus", "--slack", "0.05", "--other-patients"],
        "dry-run": ["train", "--dry-run", *corpus, "-o", folder / "planned"],
        "train": ["train", *corpus, "-o", folder / "run", "--steps", arguments.steps,
                  "--save-every", max(1, arguments.steps // 4), "--resume"],
        "evaluate": ["evaluate", folder / "run" / "model", *corpus, "-o", folder / "evaluation",
                     "--resamples", arguments.resamples],
        "index": ["index", folder / "run" / "model", table, "--annotations", annotations, "-o", folder / "index"],
        "search": ["search", folder / "index", "--text", "large left pleural effusion"],
    }  # fmt: skip
    return [*MEDTRIM, *map(str, commands[stage])]


def run(folder: Path, stage: str, arguments: argparse.Namespace) -> Cost:
    """Run a stage and measure it.

    Raises:
        SystemExit: the command failed; what it said is printed.
    """
    before = bytes_below(folder)
    start = time.perf_counter()
    measured = [sys.executable, "-c", MEASURED, *command(folder, stage, arguments)]
    done = subprocess.run(measured, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    processor, memory, code = done.stdout.split()
    if int(code):
        raise SystemExit(f"{stage} ended with exit code {code}: {done.stderr[-2000:]}")
    return Cost(seconds, float(processor), float(memory), bytes_below(folder) - before)


def kill_training(folder: Path, arguments: argparse.Namespace) -> None:
    """Start training, kill it with its workers once it has written a checkpoint; the stage then resumes it.

    Raises:
        SystemExit: it ended before.
    """
    with subprocess.Popen(
        command(folder, "train", arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as training:
        while not list((folder / "run" / "checkpoints").glob("step-*")):
            if training.poll() is not None:
                raise SystemExit(f"training ended before it was killed: {training.communicate()[1][-2000:]}")
            time.sleep(0.2)
        os.killpg(training.pid, signal.SIGKILL)
    left = sorted(path.name for path in (folder / "run" / "checkpoints").glob("step-*"))
    print(f"  train     killed, resumes from {left[-1]}", flush=True)


def write_archive(folder: Path, studies: int) -> None:
    """`archive/` with so many studies; it appears whole."""
    drawn_folder = folder / "drawn"
    make_corpus(min(studies, DRAWN), drawn_folder, size=SIDE)
    drawn = list(read_studies(drawn_folder / "studies.parquet"))
    films = []
    for study in drawn:
        film = (drawn_folder / study.images[0]).with_suffix(".jpg")
        Image.open(drawn_folder / study.images[0], formats=["PNG"]).convert("L").save(film, quality=90)
        films.append(film)
    made = folder / ".archive"
    shutil.rmtree(made, ignore_errors=True)
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(studies), rng.integers(1, 5, studies))[:studies]
    splits = rng.choice(["train", "validate", "test"], studies, p=[0.8, 0.1, 0.1])
    metadata: list[tuple[str, ...]] = [("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")]
    official: list[tuple[str, ...]] = [("dicom_id", "study_id", "subject_id", "split")]
    for i, patient in enumerate(patients):
        subject, number = f"1{patient:07}", f"5{i:07}"
        place = made / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{number}"
        place.mkdir(parents=True)
        study = drawn[i % len(drawn)]
        for view in (study.view, "LATERAL")[: 1 + i % 2]:
            name = f"{number}-{view.lower()}"
            os.link(films[i % len(films)], place / f"{name}.jpg")
            metadata.append((name, subject, number, view, "21000101"))
            official.append((name, number, subject, str(splits[patient])))
        place.with_suffix(".txt").write_text(
            f" FINAL REPORT\n EXAMINATION: Chest radiograph.\n\n FINDINGS: {study.findings} Film number {i}.\n\n"
            f" IMPRESSION: {study.impression}\n",
            encoding="utf-8",
        )
    for name, rows in (("metadata", metadata), ("split", official)):
        with gzip.open(made / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    made.rename(folder / "archive")


def bytes_below(folder: Path) -> int:
    """Bytes of all files of the work, those of the archive left out."""
    parts = [path for path in folder.iterdir() if path.name not in ("archive", "drawn")]
    files = [f for part in parts for f in ([part] if part.is_file() else part.rglob("*"))]
    return sum(f.stat().st_size for f in files if f.is_file())


def tell_growth(measured: dict[int, dict[str, Cost]], sizes: list[int]) -> None:
    """Print what a thousand studies more cost, by the two largest sizes, and estimates by that slope."""
    if len(measured) < 2:
        return
    small, large = sorted(measured)[-2:]
    print(f"for each further 1,000 studies, by {small:,} and {large:,}; estimates are linear")
    for stage, cost in measured[large].items():
        line = f"  {stage:9}"
        for what, unit in (("processor", "s of processor"), ("memory", "MiB"), ("size", "bytes")):
            now = getattr(cost, what)
            slope = (now - getattr(measured[small][stage], what)) / (large - small)
            line += f"  {1000 * slope:,.2f} {unit}"
            line += "".join(f" ({now + slope * (size - large):,.0f} at {size:,})" for size in sizes)
        print(line)


if __name__ == "__main__":
    main()
