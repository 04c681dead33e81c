"""How the corpus miner's time and memory grow from 10,000 to 1,000,000 studies, as a user runs it.

Each size is a table drawn by `mining_corpora.resample`, read and mined by `medtrim mine --miner corpus` in a
process of its own; the memory is the largest sum, over that process and its workers, of what each holds for itself
plus its share of what they hold together (PSS), looked at five times a second.

Goal: 227,000 studies within 120 s and 4 GiB on two cores.

    python benchmarks/bench_mining_scaling.py [--sizes 10000 … 1000000] [--normal 0.35] [--workers 2]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from medtrim.mining.reading import read_encoded
from medtrim.types import OntologyRef, Provenance
from medtrim.types.tables import write_table
from mining_corpora import real_annotations, resample

SIZES = (10_000, 30_000, 100_000, 227_000, 1_000_000)
RUN = "from medtrim.cli import main; main()"
GIB = 2**20  # in units of kB


def family_memory(root: int) -> int:
    """Proportional set size of a process and all its descendants, in kB."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # ended meanwhile
    family, size = {root}, 0
    while len(family) > size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    total = 0
    for process in family:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def cpu_seconds() -> float:
    """Processor time of the children waited for so far, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds (which a busy machine distorts less) and GiB of a command."""
    start, cpu, most = time.perf_counter(), cpu_seconds(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, family_memory(process.pid))
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, cpu_seconds() - cpu, most / GIB


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--annotations", type=Path, help="annotations table to draw after; default: Open-i's reports"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--normal", type=float, help="share of normal studies; default: as in the annotations")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--options", nargs="*", default=[], help="further options of `medtrim mine`")
    options = parser.parse_args()
    corpus, name = real_annotations(options.annotations)
    print(f"drawn after {name}; {options.workers} workers {' '.join(options.options)}")
    print(f"{'studies':>10} {'distinct':>9} {'normal':>7} {'seconds':>8} {'cpu s':>7} {'GiB':>6} {'triplets':>10}")
    with tempfile.TemporaryDirectory() as folder:
        table, output = Path(folder) / "annotations.parquet", Path(folder) / "triplets.parquet"
        made = Provenance("annotations", ontology=OntologyRef("resampled", "1", "0"))
        for size in options.sizes:
            write_table(resample(corpus, size, normal=options.normal, seed=0), table, made)
            encoded = read_encoded(table).encoded
            command = [sys.executable, "-c", RUN, "mine", str(table), "-o", str(output), "--miner", "corpus"]
            command = [*command, "--workers", str(options.workers), *options.options]
            seconds, cpu, memory = measure(command)
            triplets = pq.read_metadata(output).num_rows
            print(
                f"{size:10,} {encoded.distinct:9,} {encoded.is_normal.mean():7.1%} {seconds:8.1f} "
                f"{cpu:7.1f} {memory:6.2f} {triplets:10,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
