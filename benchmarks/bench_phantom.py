"""How fast the phantom corpus is made: one process and two, and where the time of one study goes.

Goal: 500 studies a second at 128 pixels on two cores, reports and PNG files included.

    python benchmarks/bench_phantom.py [--studies 2000] [--size 128]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medtrim.data.phantom import draw, make_corpus, sample_case, write_report
from medtrim.data.phantom.png import encode_png


def _milliseconds(work: Callable[[int], object], repeats: int) -> float:
    """Processor time of one call, which a busy machine distorts less than the clock."""
    for i in range(min(repeats, 60)):  # fills the texture banks
        work(i)
    start = time.process_time()
    for i in range(repeats):
        work(i)
    return (time.process_time() - start) / repeats * 1e3


def _cpu_seconds() -> float:
    """Processor time of this process and the workers it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    repeats, size = max(options.studies // 5, 50), options.size

    cases = [sample_case(np.random.default_rng(i)) for i in range(repeats)]
    pictures = [draw(c, size=size, rng=np.random.default_rng(0)) for c in cases]
    rng = np.random.default_rng(1)
    print(f"one study at {size} px, processor time:")
    print(f"  sample {_milliseconds(lambda i: sample_case(rng), repeats):6.2f} ms")
    print(f"  report {_milliseconds(lambda i: write_report(cases[i], rng), repeats):6.2f} ms")
    print(f"  draw   {_milliseconds(lambda i: draw(cases[i], size=size, rng=rng), repeats):6.2f} ms")
    print(f"  PNG    {_milliseconds(lambda i: encode_png(pictures[i]), repeats):6.2f} ms")
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start, cpu = time.perf_counter(), _cpu_seconds()
            make_corpus(options.studies, Path(folder), size=size, workers=workers)
            seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
        rate, each = options.studies / seconds, cpu / options.studies * 1e3
        print(f"{options.studies} studies by {workers}: {seconds:.2f} s, {rate:.0f}/s, {each:.2f} ms CPU each")


if __name__ == "__main__":
    main()
