"""Do the intervals cover what they say? Simulated test sets, two equal methods, several training seeds.

    python benchmarks/bench_intervals.py --sets 400 --studies 400

Each simulated test set has new patients (one to three studies each, alike within a patient), drawn diseases, sides,
severities, and for each method and training seed a model: embeddings that hold the findings with a quality that
differs from seed to seed. The true value of a figure is its mean over all simulated sets and models; the true
difference of the methods is 0. Printed: the share of sets whose 95 % interval holds the truth, for one model, for
the mean over 3, 5 and 10 seeds and for the paired difference, and the share of differences with p < 0.05.

`--few` works out four figures over all queries and one over normal ones, with the AUCs of all queries at once: a
quarter of the processor time at 2,000 studies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure, QueryValues, figure_of, mean_values
from medtrim.evaluation.gallery import EffectSum, GalleryEffect, precision_effect
from medtrim.evaluation.label_figures import ScoredLabel, label_figures
from medtrim.evaluation.ranking import precision_at, rank_without_own, similarities, unit
from medtrim.evaluation.reference import Reference, make_reference
from medtrim.evaluation.retrieval import retrieval_figures
from medtrim.evaluation.statistics import SeedPool
from medtrim.types import Annotation, Finding

HEADLINE = (
    "disease P@10",
    "fine P@10",
    "conflict-free @R",
    "wrong side @R",
    "wrong severity @R",
    "attribute AUC",
    "disease AUC",
)
DISEASES = ("pleural effusion", "edema", "consolidation", "fracture")
SIDES, SEVERITIES = ("left", "right"), ("small", "large")
DIMENSION = 24
Key = tuple[str, str]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """One simulated test set: truth, patients, and the signal of each study that every model sees."""

    reference: Reference
    patients: tuple[str, ...]
    signal: Floats
    looks: Floats


def draw_world(studies: int, rng: np.random.Generator) -> World:
    """Patients of one to three studies, which share a tendency to each disease and a look."""
    codes = np.random.default_rng(0).normal(size=(len(DISEASES), 3, DIMENSION))
    annotations, patients, signal, looks = [], [], [], []
    patient = 0
    while len(annotations) < studies:
        tendency, look = rng.beta(0.5, 2.0, size=len(DISEASES)), rng.normal(size=DIMENSION)
        for _ in range(min(int(rng.integers(1, 4)), studies - len(annotations))):
            findings, vector = [], np.zeros(DIMENSION)
            for d in np.flatnonzero(rng.random(len(DISEASES)) < tendency):
                side, severity = rng.integers(2, size=2)
                findings.append(Finding(DISEASES[d], "present", (SEVERITIES[severity],), (SIDES[side],)))
                vector += codes[d, 0] + 0.7 * (1 - 2 * side) * codes[d, 1] + 0.5 * (1 - 2 * severity) * codes[d, 2]
            annotations.append(Annotation(f"s{len(annotations):05d}", tuple(findings)))
            patients.append(f"p{patient:05d}")
            signal.append(vector)
            looks.append(look)
        patient += 1
    return World(make_reference(annotations), tuple(patients), np.stack(signal), np.stack(looks))


def draw_model(world: World, rng: np.random.Generator, *, seed_spread: float) -> tuple[Floats, Floats]:
    """Image and text embeddings of one trained model: the signal with noise of a quality of its own."""
    noise = 3.0 * np.exp(seed_spread * rng.normal())
    studies = world.signal.shape
    image = world.signal + 0.7 * world.looks + noise * rng.normal(size=studies)
    return image, world.signal + 0.5 * noise * rng.normal(size=studies)


def evaluate_model(world: World, model: tuple[Floats, Floats], bootstrap: PatientBootstrap) -> dict[Key, Figure]:
    """The headline figures over all queries and over abnormal ones, normal queries, and a macro AUROC.

    Zero-shot and probe figures are such a mean of AUROCs of scored images; the scores here are the similarity to
    the disease's own signal.
    """
    image, text = model
    found = retrieval_figures(image, text, world.reference, bootstrap, directions=["i2t"]).figures
    figures: dict[Key, Figure] = {
        (f.metric, f.queries): f for f in found if f.metric in HEADLINE and f.queries in ("all", "abnormal")
    }
    figures |= {(f.metric, "normal"): f for f in found if f.metric == "disease P@10" and f.queries == "normal"}
    codes = np.random.default_rng(0).normal(size=(len(DISEASES), 3, DIMENSION))[:, 0]
    columns = [world.reference.diseases.index(d) for d in DISEASES]
    labels = [
        ScoredLabel(d, image @ code, world.reference.has[:, c], None, 0.0)
        for d, code, c in zip(DISEASES, codes, columns, strict=True)
    ]
    macro = label_figures("zero-shot", labels, bootstrap, metrics=("AUROC",))[-1]
    return {**figures, ("macro AUROC", ""): macro}


def evaluate_few(world: World, model: tuple[Floats, Floats], bootstrap: PatientBootstrap) -> dict[Key, Figure]:
    """Disease P@10 (all and normal queries), fine P@10, disease and attribute AUC, as `evaluate_model` has them.

    But for similarities that are equal to seven decimals, which count as a half in an AUC there and by rank here.
    """
    image, text = (unit(side) for side in model)
    everyone = np.arange(len(image))
    ranked = rank_without_own(similarities(image, text), everyone)
    reference = world.reference
    alike = reference.disease_set[ranked] == reference.disease_set[:, None]
    exact = reference.fine[ranked] == reference.fine[:, None]

    def precision(name: str, relevant: Bools, rows: NDArray[np.int64]) -> QueryValues:
        relevant, total = relevant[rows], relevant[rows].sum(axis=1)
        effect = precision_effect(ranked[rows], relevant, 10, total, len(everyone))
        return mean_values(name, precision_at(relevant, 10, total), effect)

    normal = np.flatnonzero(reference.is_normal)
    values = [
        ("all", everyone, precision("disease P@10", alike, everyone)),
        ("all", everyone, precision("fine P@10", exact, everyone)),
        ("all", everyone, mean_values("disease AUC", *auc_effects(ranked, alike, ~alike))),
        ("all", everyone, mean_values("attribute AUC", *auc_effects(ranked, exact, alike & ~exact))),
        ("normal", normal, precision("disease P@10", alike, normal)),
    ]
    return {
        (v.metric, group): figure_of(v, rows, bootstrap, direction="i2t", group=group, own_in_gallery=False)
        for group, rows, v in values
    }


def auc_effects(ranked: NDArray[np.int64], positive: Bools, negative: Bools) -> tuple[Floats, GalleryEffect]:
    """AUC within each query, [queries], and every gallery study's effect: `auc_effect` for all rankings at once."""
    queries, highs, lows = len(ranked), positive.sum(axis=1), negative.sum(axis=1)
    # Pairs in the right order that each study is in.
    right = np.where(positive, lows[:, None] - negative.cumsum(axis=1), negative * positive.cumsum(axis=1))
    total = (right * positive).sum(axis=1)
    defined = (highs > 0) & (lows > 0)
    value = np.divide(total, highs * lows, out=np.full(queries, np.nan), where=defined)
    pairs = np.where(positive, ((highs - 1) * lows)[:, None], (highs * (lows - 1))[:, None])
    left = np.divide(total[:, None] - right, pairs, out=np.zeros(pairs.shape), where=pairs > 0)
    counted = (positive | negative) & defined[:, None]
    effect = EffectSum(queries)
    numerator = np.where(counted, np.nan_to_num(value)[:, None] - left, 0.0)
    effect.add(ranked, numerator, (counted & (pairs == 0)).astype(np.float64))
    return value, effect.total()


@dataclass(frozen=True)
class Coverage:
    """Shares of simulated test sets, by figure: interval holds the truth; difference has p < 0.05."""

    figure: Key
    seeds: int
    covered: float
    covered_difference: float
    false_positives: float


def simulate(
    *,
    sets: int,
    studies: int,
    seeds: tuple[int, ...],
    resamples: int,
    seed_spread: float,
    first: int = 0,
    evaluate: Callable[[World, tuple[Floats, Floats], PatientBootstrap], dict[Key, Figure]] = evaluate_model,
) -> Iterator[Coverage]:
    """Draw the test sets and models, and count."""
    most = max(seeds)
    runs: list[tuple[list[dict[Key, Figure]], list[dict[Key, Figure]]]] = []
    for number in range(first, first + sets):
        rng = np.random.default_rng([7, number])
        world = draw_world(studies, rng)
        bootstrap = PatientBootstrap(world.patients, resamples=resamples, seed=number)
        methods = [
            [evaluate(world, draw_model(world, rng, seed_spread=seed_spread), bootstrap) for _ in range(most)]
            for _ in range(2)
        ]
        runs.append((methods[0], methods[1]))
    for key in runs[0][0][0]:
        truth = float(np.nanmean([model[key].value for run in runs for method in run for model in method]))
        for count in seeds:
            yield _coverage(key, count, truth, runs)


def _coverage(key: Key, count: int, truth: float, runs: list) -> Coverage:  # type: ignore[type-arg]
    pool = SeedPool(count)
    covered, straddling, positive = [], [], []
    for first, second in runs:
        ours, theirs = ([model[key] for model in method[:count]] for method in (first, second))
        one = pool.pool([f.value for f in ours], np.stack([f.replicates for f in ours]))
        values = [a.value - b.value for a, b in zip(ours, theirs, strict=True)]
        both = pool.pool(values, np.stack([a.replicates - b.replicates for a, b in zip(ours, theirs, strict=True)]))
        covered.append(one.low <= truth <= one.high)
        straddling.append(both.low <= 0 <= both.high)
        positive.append(both.p < 0.05)
    return Coverage(key, count, *(float(np.mean(x)) for x in (covered, straddling, positive)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--first", type=int, default=0, help="Number of the first set; other numbers, other sets.")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed-spread", type=float, default=0.1, help="Of the noise's logarithm between seeds.")
    parser.add_argument("--few", action="store_true", help="Four figures only, for large test sets.")
    options = parser.parse_args()
    found = list(
        simulate(
            sets=options.sets,
            studies=options.studies,
            seeds=tuple(options.seeds),
            resamples=options.resamples,
            seed_spread=options.seed_spread,
            first=options.first,
            evaluate=evaluate_few if options.few else evaluate_model,
        )
    )
    print(f"{options.sets} test sets of {options.studies} studies, seed spread {options.seed_spread}")
    print("figure, queries | seeds | coverage | coverage of the difference | false positives")
    for row in found:
        figures = f"{row.covered:.3f} | {row.covered_difference:.3f} | {row.false_positives:.3f}"
        print(f"{', '.join(filter(None, row.figure))} | {row.seeds} | {figures}")


if __name__ == "__main__":
    main()
