"""From the runs' evaluations to the rows of the results: pooled over seeds, and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medtrim.errors import TableError
from medtrim.evaluation import EvaluationResult, Figure, pool_folds, read_evaluation
from medtrim.evaluation.compare import FEWEST_PATIENTS
from medtrim.evaluation.metric_info import metric_info
from medtrim.evaluation.statistics import Estimate, SeedPool, holm
from medtrim.experiments.execute import EVALUATION
from medtrim.experiments.rows import Kind, Row, headline_keys
from medtrim.experiments.run_suite import SuiteRun
from medtrim.experiments.schema import Suite
from medtrim.experiments.unseen import UNSEEN

BySeed = Mapping[int, EvaluationResult]
NAN = float("nan")
UNSEEN_KINDS: Mapping[Kind, Kind] = {
    "pooled": "unseen",
    "difference": "unseen difference",
    "best": "unseen best",
}


@dataclass(frozen=True)
class Evaluations:
    """The evaluations of the runs that ended well: method → seed → result, and the sweeps' in the plan's order.

    `unseen` are the finals' on the suite's unseen studies.
    """

    finals: Mapping[str, BySeed]
    sweeps: Sequence[tuple[int, float, int, EvaluationResult]] = field(default=())
    unseen: Mapping[str, BySeed] = field(default_factory=dict)


def read_evaluations(done: SuiteRun) -> Evaluations:
    """The evaluations of all runs that ended well, those of folds pooled.

    Raises:
        TableError: two runs were evaluated on different studies, truth or resamples, so that nothing can be paired.
    """
    finals: dict[str, dict[int, EvaluationResult]] = {m: {} for m in done.suite.methods}
    sweeps = []
    prints: dict[str, str] = {}
    for runs in done.units().values():
        run, outcome = runs[0]
        read = [read_evaluation(each.job.folder / EVALUATION) for _, each in runs]
        result = read[0] if run.fold is None else pool_folds(read)
        prints[result.fingerprint] = outcome.job.folder.name
        if run.role == "final":
            finals[run.spec.method][run.spec.seed] = result
        else:
            sweeps.append((run.sweep, run.x, run.spec.seed, result))
    unseen: dict[str, dict[int, EvaluationResult]] = {}
    by_folder = {o.job.folder: o for o in done.unseen_outcomes}
    for run, outcome in done.finished():
        later = by_folder.get(outcome.job.folder / UNSEEN)
        if later is not None and later.state != "failed":
            found = read_evaluation(later.job.folder / EVALUATION)
            unseen.setdefault(run.spec.method, {})[run.spec.seed] = found
    if len(prints) > 1:
        raise TableError(f"runs were evaluated on different studies or truth: {', '.join(prints.values())}")
    return Evaluations({m: results for m, results in finals.items() if results}, sweeps, unseen)


def collect(suite: Suite, found: Evaluations) -> list[Row]:
    """Every row but the breakdown."""
    rows = [
        _row("seed", method, figure, _as_evaluated(figure), seed=seed)
        for method, by_seed in found.finals.items()
        for seed, result in by_seed.items()
        for figure in result.figures
    ]
    rows += _compared(suite, found.finals)
    rows += [replace(row, kind=UNSEEN_KINDS[row.kind]) for row in _compared(suite, found.unseen)]
    for number, x, seed, result in found.sweeps:
        sweep = suite.sweeps[number]
        rows += [
            _row(
                "sweep",
                sweep.method,
                figure,
                _as_evaluated(figure),
                seed=seed,
                sweep=sweep.title,
                x=x,
            )
            for figure in result.figures
        ]
    return rows


def _compared(suite: Suite, finals: Mapping[str, BySeed]) -> list[Row]:
    """Every method over its seeds, ours minus each other one, and minus the best of them."""
    rows = [row for method, by_seed in finals.items() for row in _pooled(suite, method, by_seed)]
    if suite.ours in finals:
        others = [m for m in finals if m != suite.ours]
        differences = [row for other in others for row in _differences(suite, finals, other)]
        rows += [*differences, *best_rivals(suite, rows, differences)]
    return rows


def best_rivals(suite: Suite, rows: Iterable[Row], differences: Iterable[Row]) -> list[Row]:
    """For every figure of the main table: ours − the best other method, corrected over the table's figures.

    The best other is chosen on the same test studies, which favours it: a difference that excludes 0 is on the
    safe side.
    """
    pooled = {(r.method, r.key): r for r in rows if r.kind == "pooled"}
    paired = {(r.baseline, r.key): r for r in differences}
    best = []
    for key in headline_keys(suite):
        rivals = [m for m in suite.rivals if (m, key) in pooled and pooled[m, key].value == pooled[m, key].value]
        if rivals:
            sign = 1 if key.info.better == "higher" else -1
            top = max(rivals, key=lambda m: sign * pooled[m, key].value)
            found = paired.get((top, key))
            if found is not None and found.value == found.value:
                best.append(found)
    corrected = holm([row.p for row in best])
    return [replace(row, kind="best", p_holm=p) for row, p in zip(best, corrected, strict=True)]


def _pooled(suite: Suite, method: str, by_seed: BySeed) -> Iterator[Row]:
    """The mean over seeds; of one seed the figure as it was evaluated.

    The interval of a share is cut to the range from 0 to 1. Where every seed has 0, or every seed 1, seeds and
    resamples agree and t gives it no width: it is then the evaluations' own interval, by the number of patients.
    """
    if len(by_seed) == 1:
        (result,) = by_seed.values()
        yield from (_row("pooled", method, figure, _as_evaluated(figure)) for figure in result.figures)
        return
    pool = _seeds(suite, len(by_seed))
    for figures in aligned(list(by_seed.values())):
        estimate = pool.pool([f.value for f in figures], np.stack([f.replicates for f in figures]))
        share = figures[0].task != "diagnostic" and metric_info(figures[0].metric).unit == "percent"
        if share and estimate.value in (0.0, 1.0):
            estimate = replace(estimate, low=figures[0].low, high=figures[0].high)
        elif share:
            estimate = replace(estimate, low=_share(estimate.low), high=_share(estimate.high))
        yield _row("pooled", method, figures[0], _without_p(estimate))


def _share(value: float) -> float:
    """`value` cut to the range from 0 to 1; NaN stays."""
    return float(np.clip(value, 0.0, 1.0))


def _differences(suite: Suite, finals: Mapping[str, BySeed], other: str) -> Iterator[Row]:
    """Ours − `other`, by the seeds that both have; of very few patients without an interval, as `compare`."""
    ours, theirs = finals[suite.ours], finals[other]
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return
    pool = _seeds(suite, len(seeds))
    for figures in aligned([ours[s] for s in seeds] + [theirs[s] for s in seeds]):
        first, second = figures[: len(seeds)], figures[len(seeds) :]
        values = [a.value - b.value for a, b in zip(first, second, strict=True)]
        replicates = np.stack([a.replicates - b.replicates for a, b in zip(first, second, strict=True)])
        estimate = pool.pool(values, replicates)
        if any(f.patients is not None and f.patients < FEWEST_PATIENTS for f in figures):
            estimate = replace(estimate, low=NAN, high=NAN, p=NAN)
        yield _row("difference", suite.ours, first[0], estimate, baseline=other)


def aligned(results: Sequence[EvaluationResult]) -> Iterator[list[Figure]]:
    """The figures that all results have, result by result."""
    tables = [{f.key: f for f in result.figures} for result in results]
    for key in tables[0]:
        if all(key in table for table in tables):
            yield [table[key] for table in tables]


def _seeds(suite: Suite, count: int) -> SeedPool:
    return SeedPool(count, suite.evaluation.seed_variation)


def _as_evaluated(figure: Figure) -> Estimate:
    return Estimate(figure.value, figure.low, figure.high, NAN, NAN)


def _without_p(estimate: Estimate) -> Estimate:
    """A figure is not tested against 0, only a difference is."""
    return Estimate(estimate.value, estimate.low, estimate.high, NAN, estimate.spread)


def _row(
    kind: Kind,
    method: str,
    figure: Figure,
    estimate: Estimate,
    *,
    baseline: str = "",
    seed: int | None = None,
    sweep: str = "",
    x: float = NAN,
) -> Row:
    return Row(
        kind=kind,
        method=method,
        task=figure.task,
        metric=figure.metric,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=figure.n,
        direction=figure.direction,
        queries=figure.queries,
        label=figure.label,
        baseline=baseline,
        seed=seed,
        sweep=sweep,
        x=x,
        spread=estimate.spread,
        p=estimate.p,
    )
