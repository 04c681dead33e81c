"""Dealing a triplets table into batches: time and richness, against the greedy algorithm written plainly.

The plain one keeps every unused triplet that touches the growing batch on a heap, the one that needs the fewest
further studies first, and tries all triplets that found no place again for each batch: about quadratic in the
triplets, so it is run on the small tables only. Triplets are mined as published (`medtrim.mining.pool`) over
tables drawn after real annotations (`mining_corpora`). Times are processor time, which other work on the machine
distorts less.

    python benchmarks/bench_batches.py [--triplets 8000 … 1280000] [--studies 9000 200000] [--plain 32000]
"""

from __future__ import annotations

import argparse
import heapq
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medtrim.mining.encoding import encode_studies
from medtrim.mining.pool import mine_pools
from medtrim.mining.pool_config import PoolConfig
from medtrim.training.inputs import TripletIndex
from medtrim.training.triplet_batches import TripletPlan
from medtrim.types.annotation_table import AnnotationTable
from mining_corpora import real_annotations, resample

LOOKED_AT = 500  # batches, evenly over the epoch, whose triplets are counted


class PlainGreedy:
    """Nearest triplet first, by a heap over everything that touches the batch; every study is another patient's."""

    def __init__(self, triplets: np.ndarray, studies: int, size: int, seed: int) -> None:
        self.size = size
        self.members: list[list[int]] = triplets.tolist()
        self.rank = np.random.default_rng(seed).permutation(len(triplets)).tolist()
        self.used = [False] * len(triplets)
        self.touching: list[list[int]] = [[] for _ in range(studies)]
        for index, members in enumerate(self.members):
            for study in members:
                self.touching[study].append(index)

    def deal(self) -> Iterator[list[int]]:
        """The batches of an epoch; places that no triplet fills stay empty."""
        seeds = iter(np.argsort(self.rank).tolist())
        waiting: list[int] = []
        while True:
            self.rows: dict[int, None] = {}
            self.missing: dict[int, int] = {}
            self.frontier: list[tuple[int, int, int]] = []
            waiting = [t for t in waiting if not self.used[t] and not self._add(t)]
            for triplet in seeds:
                if not self.used[triplet] and not self._add(triplet):
                    waiting.append(triplet)
                    break
            if not self.rows:
                return
            yield list(self.rows)

    def _add(self, triplet: int) -> bool:
        if not self._take(triplet):
            return False
        while self.frontier:
            missing, _, near = heapq.heappop(self.frontier)
            if not self.used[near] and missing == self.missing[near]:
                self._take(near)
        return True

    def _take(self, triplet: int) -> bool:
        new = [s for s in self.members[triplet] if s not in self.rows]
        if len(self.rows) + len(new) > self.size:
            return False
        for study in new:
            self.rows[study] = None
            for near in self.touching[study]:
                if not self.used[near]:
                    missing = self.missing[near] = self.missing.get(near, 3) - 1
                    if missing:
                        heapq.heappush(self.frontier, (missing, self.rank[near], near))
                    self.used[near] = not missing
        self.used[triplet] = True
        return True


def mine(annotations: list, studies: int, most: int) -> np.ndarray:
    """About `most` triplets over so many studies."""
    encoded = encode_studies(AnnotationTable(resample(annotations, studies, normal=None, seed=0)))
    pool = PoolConfig(iterations=-(-most // 32))
    return mine_pools(encoded, pool, np.random.default_rng(0)).indices.astype(np.int64)


def richness(batches: list, triplets: np.ndarray, studies: int) -> float:
    """Mean number of the table's triplets within a batch."""
    index = TripletIndex(triplets, studies)
    step = max(1, len(batches) // LOOKED_AT)
    return float(np.mean([len(index.within(np.asarray(rows))) for rows in batches[::step]]))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=int, nargs="+", default=[8_000, 32_000, 128_000, 1_280_000])
    parser.add_argument("--studies", type=int, nargs="+", default=[9_000, 200_000])
    parser.add_argument("--plain", type=int, default=32_000, help="largest table for the plain algorithm")
    parser.add_argument("--size", type=int, default=64, help="studies a batch")
    parser.add_argument("--annotations", type=Path, help="table to draw after; default: Open-i's reports")
    args = parser.parse_args()
    annotations, name = real_annotations(args.annotations)
    print(f"{args.size} studies a batch; annotations drawn after {name}")
    heads = ("studies", "triplets", "first batch", "epoch", "batches", "a batch", "plain", "a batch", "ratio")
    print("".join(f"{head:>12}" for head in heads))
    for studies in args.studies:
        mined = mine(annotations, studies, max(args.triplets))
        for count in args.triplets:
            triplets = mined[:count]
            plan = TripletPlan(triplets, np.arange(studies), size=args.size, seed=0, one_per_patient=True)
            start = time.process_time()
            plan.rows(0)
            first = time.process_time() - start
            batches = [plan.rows(i) for i in range(plan.batches_per_epoch)]
            whole = time.process_time() - start
            line = f"{studies:>12,}{len(triplets):>12,}{first:>10.2f} s{whole:>10.1f} s{len(batches):>12,}"
            line += f"{richness(batches, triplets, studies):>12.1f}"
            if count <= args.plain:
                start = time.process_time()
                plain = list(PlainGreedy(triplets, studies, args.size, seed=0).deal())
                seconds = time.process_time() - start
                line += f"{seconds:>10.1f} s{richness(plain, triplets, studies):>12.1f}{seconds / whole:>12.1f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
