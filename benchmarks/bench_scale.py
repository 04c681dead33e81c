"""Time and peak memory of each step at a given number of studies, every step in a process of its own.

    python benchmarks/bench_scale.py --studies 200000 [--steps import,annotate,dry-run]

Reports are the phantom's, many times over with a number changed, so that every text is another; a handful of images
stand for all, since none is decoded here.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from medtrim.data.cache_index import PIXELS_NAME, CacheEntry, CacheFormat, write_index
from medtrim.data.phantom import make_corpus
from medtrim.types.tables import read_studies

SIDE = 64
MEDTRIM = (sys.executable, "-c", "from medtrim.cli import main; main()")
# Runs a command and prints its peak resident memory in MiB, children not counted.
PEAK = (
    "import resource, subprocess, sys\n"
    "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, code)"
)


def main() -> None:
    """Measure the steps that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200_000)
    parser.add_argument("--steps", default="import,annotate,mine,dry-run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder, arguments.studies)
        steps = {
            "import": ("data", "import", folder / "corpus.csv", "-o", folder / "s.parquet",
                       "--no-check-images"),
            "annotate": ("annotate", folder / "s.parquet", "-o", folder / "a.parquet"),
            "mine": ("mine", folder / "a.parquet", "-o", folder / "t.parquet", "--iterations", "1000"),
            "dry-run": ("train", "--dry-run", "--studies", folder / "s.parquet", "--annotations",
                        folder / "a.parquet", "--cache", folder / "cache", "-o", folder / "run"),
        }  # fmt: skip
        for step, command in steps.items():
            if step in arguments.steps.split(","):
                if step == "dry-run":
                    write_cache(folder)
                seconds, peak, code = measure([*MEDTRIM, *map(str, command)])
                print(f"{step:9} {arguments.studies:>9,} studies  {seconds:7.1f} s  {peak:7.0f} MiB  exit {code}")


def write_cache(folder: Path) -> None:
    """An image cache of every study of `s.parquet`, its pixels black: a dry run only asks whether it is there."""
    studies = read_studies(folder / "s.parquet")
    made = folder / "cache"
    made.mkdir()
    with (made / PIXELS_NAME).open("wb") as pixels:
        pixels.truncate(len(studies) * SIDE**2)
    entries = (CacheEntry(s.study_id, 0, i, s.images[0], 0, 0, 0, 0) for i, s in enumerate(studies))
    write_index(made, CacheFormat(SIDE, "pad"), entries)


def measure(command: list[str]) -> tuple[float, float, int]:
    """Seconds, peak memory in MiB and exit code of a command."""
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True)
    peak, code = run.stdout.split()
    if int(code):
        print(run.stderr[-2000:])
    return time.perf_counter() - start, float(peak), int(code)


def write_corpus(folder: Path, studies: int) -> None:
    """`corpus.csv` with so many rows, their texts all different, and the images of 500 phantoms."""
    make_corpus(500, folder / "phantom", size=32)
    drawn = read_studies(folder / "phantom" / "studies.parquet")
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["study_id", "patient_id", "image", "view", "findings", "impression", "age"])
        for i in range(studies):
            study = drawn[i % len(drawn)]
            image = f"phantom/{study.images[0]}"
            text = f"{study.findings} Compared with film {i}."
            writer.writerow([f"s{i}", f"p{i // 2}", image, study.view, text, study.impression, 20 + i % 70])


if __name__ == "__main__":
    main()
