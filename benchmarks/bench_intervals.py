"""Do the intervals cover what they say? Simulated test sets, two equal methods, several training seeds.

    python benchmarks/bench_intervals.py --sets 400 --studies 400

Each simulated test set has new patients (one to three studies each, alike within a patient), drawn diseases, sides,
severities, and for each method and training seed a model: embeddings that hold the findings with a quality that
differs from seed to seed. The true value of a figure is its mean over all simulated sets and models; the true
difference of the methods is 0. Printed: the share of sets whose 95 % interval holds the truth, for one model, for
the mean over 3, 5 and 10 seeds and for the paired difference, and the share of differences with p < 0.05.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medtrim.evaluation.bootstrap import PatientBootstrap
from medtrim.evaluation.figures import Figure
from medtrim.evaluation.label_figures import ScoredLabel, label_figures
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


@dataclass(frozen=True)
class Coverage:
    """Shares of simulated test sets, by figure: interval holds the truth; difference has p < 0.05."""

    figure: Key
    seeds: int
    covered: float
    covered_difference: float
    false_positives: float


def simulate(
    *, sets: int, studies: int, seeds: tuple[int, ...], resamples: int, seed_spread: float, first: int = 0
) -> Iterator[Coverage]:
    """Draw the test sets and models, and count."""
    most = max(seeds)
    runs: list[tuple[list[dict[Key, Figure]], list[dict[Key, Figure]]]] = []
    for number in range(first, first + sets):
        rng = np.random.default_rng([7, number])
        world = draw_world(studies, rng)
        bootstrap = PatientBootstrap(world.patients, resamples=resamples, seed=number)
        methods = [
            [evaluate_model(world, draw_model(world, rng, seed_spread=seed_spread), bootstrap) for _ in range(most)]
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
    options = parser.parse_args()
    found = list(
        simulate(
            sets=options.sets,
            studies=options.studies,
            seeds=tuple(options.seeds),
            resamples=options.resamples,
            seed_spread=options.seed_spread,
            first=options.first,
        )
    )
    print(f"{options.sets} test sets of {options.studies} studies, seed spread {options.seed_spread}")
    print("figure, queries | seeds | coverage | coverage of the difference | false positives")
    for row in found:
        figures = f"{row.covered:.3f} | {row.covered_difference:.3f} | {row.false_positives:.3f}"
        print(f"{', '.join(filter(None, row.figure))} | {row.seeds} | {figures}")


if __name__ == "__main__":
    main()
