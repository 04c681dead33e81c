"""Triplets mined from reports, and why each was chosen.

    python examples/audit_triplets.py [ANNOTATIONS.parquet]

`medtrim audit` writes the same as a web page with the reports and images.
"""

from __future__ import annotations

import sys
from collections import Counter

import medtrim
from medtrim.library.triplets import StudyTriplets
from medtrim.types.sources import AnnotationSource

WORDS = (
    "Small left pleural effusion.",
    "Small right pleural effusion.",
    "Large left pleural effusion with atelectasis.",
    "Mild cardiomegaly.",
    "Left rib fracture.",
    "The lungs are clear.",
)


def main(path: str | None = None, *, shown: int = 3) -> dict[str, StudyTriplets]:
    """Mine by two methods; print a few triplets term by term and how often a study is a negative."""
    annotations: AnnotationSource = path or medtrim.annotate(WORDS * 4, study_ids=[f"s{i}" for i in range(24)])
    mined = {
        "pool": medtrim.mine_triplets(annotations, method="pool", iterations=4),
        "corpus": medtrim.mine_triplets(annotations, method="corpus", attribute_hard=0.5),
    }
    for method, triplets in mined.items():
        used = Counter(t.negative for t in triplets)
        print(f"{method}: {len(triplets)} triplets, one study is a negative at most {max(used.values())} times")
        for triplet in list(triplets)[:shown]:
            print(f"  {triplet.anchor} → {triplet.positive} ({triplet.positive_score:.2f}), not {triplet.negative}")
            why = medtrim.explain_score(triplet.anchor, triplet.negative, annotations)
            shared = ", ".join(s.disease for s in why.shared) or "no disease"
            print(f"    anchor and negative share {shared}: S = {why.score:.2f}")
    return mined


if __name__ == "__main__":
    main(*sys.argv[1:2])
