"""What each miner yields on the same annotations: how alike the positives, how hard the negatives, who is used.

python benchmarks/mining_yield.py [--annotations TABLE] [--phantoms 6000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medtrim.mining.audit_measures import agreement
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.pool import PoolConfig, mine_pools
from medtrim.mining.similarity import EncodedStudies, encode_studies
from medtrim.mining.triplets import FALLBACK, SEMI_HARD, MinedTriplets
from mining_corpora import phantom_annotations, real_annotations

Miner = Callable[[EncodedStudies], MinedTriplets]


def miners(seed: int) -> dict[str, Miner]:
    """The miners compared, by name; the pool miner draws about as many triplets as there are studies."""

    def pool(share: float) -> Miner:
        def mine(encoded: EncodedStudies) -> MinedTriplets:
            config = PoolConfig(iterations=max(1, len(encoded) // 32), p_semi_hard=share)
            return mine_pools(encoded, config, np.random.default_rng(seed))

        return mine

    def corpus(**options: object) -> Miner:
        return lambda encoded: mine_corpus(encoded, CorpusConfig(**options), seed=seed)  # type: ignore[arg-type]

    return {
        "pool (published)": pool(1.0),
        "pool, half lowest": pool(0.5),
        "corpus, semi-hard": corpus(),
        "corpus, slack 0.05": corpus(slack=0.05),
        "corpus, balanced": corpus(balanced=True),
        "corpus, hardest": corpus(strategy="hardest"),
        "corpus, stratified": corpus(strategy="stratified"),
        "attribute-hard 0.5": corpus(attribute_hard=0.5),
        "attribute-hard 1.0": corpus(attribute_hard=1.0),
    }


def describe(encoded: EncodedStudies, mined: MinedTriplets) -> dict[str, str]:
    """The columns of the table."""
    shared = agreement(encoded, mined.indices)
    positive, negative = shared["positive"], shared["negative"]
    uses = [np.bincount(mined.indices[:, role]).max() for role in (1, 2)]
    semi, fallback = ((mined.kind == kind).mean() for kind in (SEMI_HARD, FALLBACK))
    return {
        "triplets": f"{len(mined):,}",
        "S(p)": f"{mined.positive_score.mean():.3f}",
        "p same dis.": f"{positive['same_diseases']:.0%}",
        "p same all": f"{positive['same_descriptors']:.0%}",
        "S(n)": f"{mined.negative_score.mean():.3f}",
        "n shares": f"{negative['shares_disease']:.0%}",
        "n normal": f"{negative['normal']:.0%}",
        "n ≥ 0.6": f"{(mined.negative_score >= 0.6).mean():.0%}",
        "n other side": f"{negative['conflict_side']:.0%}",
        "n other sev.": f"{negative['conflict_severity']:.0%}",
        "semi-hard": f"{semi:.0%}",
        "fallback": f"{fallback:.0%}",
        "most p/n": f"{uses[0]}/{uses[1]}",
    }


def main() -> None:
    """Mine and print one Markdown table a corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=Path, help="annotations table; default: Open-i's reports")
    parser.add_argument("--phantoms", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for corpus, name in (real_annotations(options.annotations), phantom_annotations(options.phantoms)):
        encoded = encode_studies(corpus)
        normal = encoded.is_normal.mean()
        print(f"\n{name}: {len(encoded):,} studies, {encoded.distinct:,} distinct, {normal:.0%} normal\n")
        for i, (miner, mine) in enumerate(miners(options.seed).items()):
            row = {"miner": miner} | describe(encoded, mine(encoded))
            if not i:
                print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
            print("| " + " | ".join(row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
