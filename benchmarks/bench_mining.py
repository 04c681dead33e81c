"""Scores and miners against plain loops over Python sets, in the same run and on the same annotations.

Goals, on two cores: 50 million study pairs/s; the pool miner 1,000 times the plain loop's triplets/s (the authors'
public code: 7,500 pairs/s, 242 triplets/s); a batch of 512 mined in a few milliseconds. What runs on one thread is
timed by the processor's clock, which other work on the machine disturbs least, what runs on two by the wall's.

    python benchmarks/bench_mining.py [--annotations TABLE] [--iterations 40000]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medtrim.mining.batch import BatchConfig, mine_batch
from medtrim.mining.blocks import BlockScorer
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.pool import PoolConfig, mine_pools
from medtrim.mining.similarity import EncodedStudies, ScoreConfig, encode_studies, score_matrix
from medtrim.types import Annotation
from mining_corpora import real_annotations

Sets = dict[str, tuple[set[str], set[str]]]
AUTHORS_PAIRS, AUTHORS_TRIPLETS = 7_500, 242


def plain_sets(annotation: Annotation, config: ScoreConfig) -> Sets:
    """The counted diseases with their descriptor sets."""
    found: Sets = {}
    for f in annotation.findings:
        if f.disease in config.diseases and f.assertion in config.assertions:
            adjectives, directions = found.setdefault(f.disease, (set(), set()))
            adjectives.update(f.adjectives)
            directions.update(f.directions)
    return found


def jaccard(a: set[str], b: set[str]) -> float:
    """Index of two sets, 1 where both are empty."""
    return len(a & b) / len(a | b) if a or b else 1.0


def plain_score(annotation: Annotation, reference: Annotation, config: ScoreConfig) -> float:
    """S of one pair, from the annotations."""
    a, r = plain_sets(annotation, config), plain_sets(reference, config)
    w, n = config.weights, max(1, len(a))
    shared = [d for d in a if d in r]
    total = w.disease * jaccard(set(a) or {"no finding"}, set(r) or {"no finding"})
    total += w.adjective * sum(jaccard(a[d][0], r[d][0]) for d in shared) / n
    return total + w.direction * sum(jaccard(a[d][1], r[d][1]) for d in shared) / n


def plain_pools(corpus: Sequence[Annotation], iterations: int, config: ScoreConfig) -> int:
    """The published miner as plain loops; returns the number of triplets."""
    rng, triplets = random.Random(0), 0
    options = PoolConfig()
    for _ in range(iterations):
        pool = rng.sample(range(len(corpus)), min(options.pool_size, len(corpus)))
        for _ in range(options.mini_pools):
            mini = rng.sample(pool, options.mini_pool_size)
            anchor, *others = mini
            scores = sorted((plain_score(corpus[anchor], corpus[i], config), i) for i in others)
            *rest, _positive = scores
            semi = [s for s in rest if options.semi_hard <= s[0] < options.ceiling]
            low = [s for s in rest if s[0] < options.semi_hard]
            triplets += bool(semi or low)
    return triplets


def plain_batch(scores: np.ndarray, config: BatchConfig) -> int:
    """Three nested loops over a batch; returns the number of admissible triplets."""
    size, found = range(len(scores)), 0
    rows = scores.tolist()
    for a in size:
        for p in size:
            for n in size:
                if len({a, p, n}) == 3 and rows[a][n] < config.ceiling <= rows[a][p]:
                    found += 1
    return found


def best(work: Callable[[], object], repeats: int, *, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest of several runs in seconds of processor time, which other work on the machine disturbs least.

    What runs on two threads needs `clock=time.perf_counter`.
    """
    spans = []
    for _ in range(repeats):
        start = clock()
        work()
        spans.append(clock() - start)
    return min(spans)


def scores(corpus: Sequence[Annotation], encoded: EncodedStudies) -> None:
    """Study pairs a second."""
    some = list(corpus[:60])
    config = encoded.config
    plain = len(some) ** 2 / best(lambda: [plain_score(a, r, config) for a in some for r in some], 3)
    pairs = len(encoded) ** 2
    one = pairs / best(lambda: score_matrix(encoded), 9)
    halves = np.array_split(np.arange(len(encoded)), 2)
    with ThreadPoolExecutor(2) as pool:
        two = pairs / best(
            lambda: list(pool.map(lambda rows: score_matrix(encoded, rows), halves)), 9, clock=time.perf_counter
        )
    scorer, everyone = BlockScorer(encoded), np.arange(encoded.distinct)
    distinct = encoded.distinct**2 / best(lambda: scorer.score(everyone), 9)
    print(f"score, plain loop       {plain:14,.0f} study pairs/s")
    print(f"score, one thread       {one:14,.0f} study pairs/s   {one / plain:9,.0f} × plain loop")
    print(f"score, two threads      {two:14,.0f} study pairs/s   {two / plain:9,.0f} ×   goal 50,000,000")
    print(f"score, distinct only    {distinct:14,.0f} distinct pairs/s, one thread")


def pools(corpus: Sequence[Annotation], encoded: EncodedStudies, iterations: int) -> None:
    """Triplets a second of the pool miner."""
    start = time.process_time()
    plain = plain_pools(corpus, 4, encoded.config) / (time.process_time() - start)
    config = PoolConfig(iterations=iterations)
    print(f"pool miner, plain loop  {plain:14,.0f} triplets/s")
    one = best(lambda: mine_pools(encoded, config, np.random.default_rng(0)), 3)
    one = iterations * config.mini_pools / one
    print(f"pool miner, one thread  {one:14,.0f} triplets/s      {one / plain:9,.0f} × plain loop")
    span = best(
        lambda: mine_pools(encoded, config, np.random.default_rng(0), workers=2), 3, clock=time.perf_counter
    )
    fast = iterations * config.mini_pools / span
    print(f"pool miner, two threads {fast:14,.0f} triplets/s      {fast / plain:9,.0f} × plain loop")
    alone, both = one / AUTHORS_TRIPLETS, fast / AUTHORS_TRIPLETS
    print(f"   × the authors' {AUTHORS_TRIPLETS}/s: {alone:,.0f} on one thread, {both:,.0f} on two; goal 1,000")
    print(f"   {span:.2f} s for {iterations * config.mini_pools:,} mini-pools on two threads")


def batches(encoded: EncodedStudies) -> None:
    """Milliseconds a batch."""
    rng = np.random.default_rng(0)
    abnormal = np.flatnonzero(~encoded.is_normal)
    rows = rng.choice(abnormal, min(512, len(abnormal)), replace=False)
    block = score_matrix(encoded, rows, rows)
    score = best(lambda: score_matrix(encoded, rows, rows), 30)
    mine = best(lambda: mine_batch(block, rng=rng), 30)
    every = BatchConfig(positive_floor=0.0, ceiling=float("inf"), min_gap=0.05)
    graded = best(lambda: mine_batch(block, every, rng=rng), 30)
    plain = best(lambda: plain_batch(block[:96, :96], BatchConfig()), 1) * (len(rows) / 96) ** 3
    print(f"batch of {len(rows)}: score block {score * 1e3:.1f} ms, triplets {mine * 1e3:.1f} ms (goal: a few ms)")
    print(
        f"              any gap of 0.05 {graded * 1e3:.1f} ms; three plain loops {plain:.0f} s (from a batch of 96)"
    )


def corpus_miner(corpus: Sequence[Annotation], encoded: EncodedStudies) -> None:
    """Anchors a second of the corpus miner."""
    start = time.process_time()
    anchors = 3
    for anchor in corpus[:anchors]:
        sorted(plain_score(anchor, other, encoded.config) for other in corpus)
    plain = anchors / (time.process_time() - start)
    span = best(lambda: mine_corpus(encoded, seed=0), 3)
    fast = len(encoded) / span
    print(f"corpus miner, plain loop{plain:14,.1f} anchors/s (scores only)")
    print(f"corpus miner            {fast:14,.0f} anchors/s       {fast / plain:9,.0f} × plain loop, one process")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=Path, help="annotations table; default: Open-i's reports")
    parser.add_argument("--iterations", type=int, default=40_000)
    options = parser.parse_args()
    corpus, name = real_annotations(options.annotations)
    encoded = encode_studies(corpus)
    print(f"{name}: {len(encoded):,} studies, {encoded.distinct:,} distinct, {encoded.is_normal.mean():.0%} normal")
    scores(corpus, encoded)
    pools(corpus, encoded, options.iterations)
    batches(encoded)
    corpus_miner(corpus, encoded)


if __name__ == "__main__":
    main()
