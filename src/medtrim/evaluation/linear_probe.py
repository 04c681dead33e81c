"""Linear probes: how much of each disease a linear classifier finds in frozen image embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from medtrim.errors import ConfigError, TableError
from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.label_figures import ScoredLabel, Size, figures_of, mean_of_defined, score
from medtrim.evaluation.label_metrics import LabelScores, best_threshold
from medtrim.evaluation.reference import Reference
from medtrim.evaluation.zero_shot import MIN_COUNT, disease_labels, enough

FRACTIONS = (0.01, 0.1, 1.0)


def linear_probe(
    train_image: Float[np.ndarray, "train dimension"],
    train: Reference,
    train_patients: Sequence[str],
    image: Float[np.ndarray, "studies dimension"],
    reference: Reference,
    bootstrap: PatientBootstrap,
    *,
    fractions: Sequence[float] = FRACTIONS,
    repeats: int = 3,
    seed: int = 0,
    min_count: int = MIN_COUNT,
) -> list[Figure]:
    """AUROC, AUPRC and F1 by disease and their macro mean, for each of `fractions` of the training patients.

    Logistic regression (L2, C = 1) on standardised embeddings, fitted on training studies alone. A fraction
    below 1 is drawn `repeats` times and its figures are means over the draws. A label of which a draw has only
    one class scores every study alike (AUROC 0.5): labels do not drop out where they are rare.

    F1 is at the threshold that is best on the training studies drawn.

    Raises:
        TableError: a patient is in both train and test, or there is no training study.
        ConfigError: a fraction is not in (0, 1].
    """
    if any(not 0 < f <= 1 for f in fractions) or repeats < 1:
        raise ConfigError(f"probe fractions must be in (0, 1], repeats at least 1: {list(fractions)}, {repeats}")
    if not len(train):
        raise TableError("linear probe: no training study")
    truth = {n: p for n, p in disease_labels(reference).items() if enough(p, min_count)}
    known = disease_labels(train)
    sizes = {name: Size(len(image), bootstrap.patients) for name in truth}
    figures: list[Figure] = []
    for fraction in fractions:
        draws: list[dict[str, LabelScores]] = []
        for repeat in range(1 if fraction == 1 else repeats):
            rows = draw_patients(train_patients, fraction=fraction, rng=np.random.default_rng([seed, repeat]))
            inputs = train_image[rows].astype(np.float64)
            scaler = StandardScaler(copy=False).fit(inputs)
            inputs, tested = scaler.transform(inputs), scaler.transform(image.astype(np.float64))
            draws.append(
                {
                    name: score(_probe(name, inputs, known[name][rows], tested, positive), bootstrap)
                    for name, positive in truth.items()
                }
            )
        mean = {name: _mean([d[name] for d in draws]) for name in truth}
        figures += figures_of(f"probe {fraction:.0%}", mean, sizes)
    return figures


def draw_patients(
    patients: Sequence[str], *, fraction: float, rng: np.random.Generator
) -> Integer[np.ndarray, " drawn"]:
    """Rows of as many randomly drawn patients as make up `fraction` of the studies, at least one patient."""
    names = sorted(set(patients))
    place = {names[i]: rank for rank, i in enumerate(rng.permutation(len(names)))}
    ranks = np.array([place[p] for p in patients])
    counts = np.cumsum(np.bincount(ranks, minlength=len(names)))
    needed = int(np.searchsorted(counts, fraction * len(ranks) - 1e-9)) + 1
    return np.flatnonzero(ranks < needed)


def _probe(
    name: str,
    train: Float64[np.ndarray, "train dimension"],
    known: Bool[np.ndarray, " train"],
    inputs: Float64[np.ndarray, "studies dimension"],
    positive: Bool[np.ndarray, " studies"],
) -> ScoredLabel:
    if known.all() or not known.any():
        alike: Float64[np.ndarray, " studies"] = np.zeros(len(inputs))
        return ScoredLabel(name, alike, positive, None, 0.0 if known.all() else float("inf"))
    model = LogisticRegression(max_iter=5000).fit(train, known)
    threshold = best_threshold(model.decision_function(train), known)
    return ScoredLabel(name, model.decision_function(inputs), positive, None, threshold)


def _mean(draws: list[LabelScores]) -> LabelScores:
    return LabelScores(
        values={m: float(np.mean([d.values[m] for d in draws])) for m in draws[0].values},
        replicates={m: mean_of_defined(np.stack([d.replicates[m] for d in draws])) for m in draws[0].replicates},
    )
