"""The embeddings of any model, evaluated by MedTrim's metrics and compared with another model's.

    python examples/evaluate_your_embeddings.py

Rows need no particular order: images, texts and findings are matched by study id.
"""

from __future__ import annotations

import numpy as np

import medtrim
from medtrim.evaluation import Difference

WORDS = (
    "Small left pleural effusion.",
    "Large right pleural effusion.",
    "Mild cardiomegaly.",
    "The lungs are clear.",
)
METRICS = ("R@10", "disease P@10", "fine P@10", "attribute AUC")


def embeddings(kinds: np.ndarray, *, blur: float, seed: int) -> np.ndarray:
    """Vectors [studies, 4] that know the report, blurred; in their place stand your model's."""
    rng = np.random.default_rng(seed)
    return np.eye(len(WORDS))[kinds] + blur * rng.normal(size=(len(kinds), len(WORDS)))


def main(studies: int = 80) -> list[Difference]:
    """Evaluate two models on the same studies and print their metrics with the paired difference."""
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(studies)]
    kinds = np.arange(studies) % len(WORDS)
    annotations = medtrim.annotate([WORDS[k] for k in kinds], study_ids=ids)
    patients = {study_id: f"p{i // 2}" for i, study_id in enumerate(ids)}
    results = []
    for name, blur in (("ours", 0.2), ("theirs", 0.8)):
        shuffled = rng.permutation(studies)
        result = medtrim.evaluate_retrieval(
            embeddings(kinds, blur=blur, seed=1)[shuffled],
            embeddings(kinds, blur=blur, seed=2),
            annotations,
            study_ids=[ids[i] for i in shuffled],
            text_ids=ids,
            patients=patients,
            resamples=200,
            method=name,
        )
        results.append(result)
    differences = medtrim.compare(*results)
    for d in differences:
        if d.metric in METRICS and d.direction == "i2t" and d.queries == "all":
            print(f"{d.metric:<14} {d.first:.2f} against {d.second:.2f}, difference {d.low:+.2f} … {d.high:+.2f}")
    return differences


if __name__ == "__main__":
    main()
