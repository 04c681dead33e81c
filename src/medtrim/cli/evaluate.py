"""`medtrim evaluate` and `medtrim compare`: metrics of a checkpoint or of embeddings, and paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli import devices
from medtrim.cli.console import lock_outputs, out, progress_bar, report_rejects, say, warn
from medtrim.cli.evaluation_input import Truth, read_input, read_truth
from medtrim.types.processes import Engine

if TYPE_CHECKING:
    from medtrim.evaluation import EvaluationOptions, EvaluationResult, Figure
    from medtrim.types import Reject

# What the terminal shows; the folder has everything.
HEADLINE = ("R@1", "R@10", "disease P@10", "fine P@10", "nDCG@10", "attribute AUC", "disease AUC",
            "wrong side @R", "wrong severity @R", "conflict-free @R")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `medtrim evaluate` and `medtrim compare`."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)


def evaluate(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for metrics.parquet, evaluation.json …")],
    checkpoint: Annotated[str | None, typer.Argument(help="Checkpoint folder, or a hub name.")] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Instead: embeddings of any model (Parquet: study_id, modality image or text, vector), matched by "
            "study id."
        ),
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(help="Studies table, or a corpus whose studies have a split; optional with --embeddings."),
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotations table that says what is true.")] = None,
    truth_column: Annotated[
        str | None, typer.Option(help="Instead: a column of the studies table with findings, such as truth.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    train_split: Annotated[str, typer.Option(help="Split that linear probes are fitted on.")] = "train",
    tune_split: Annotated[str, typer.Option(help="Split that sets zero-shot thresholds.")] = "val",
    cache: Annotated[Path | None, typer.Option(help="Image cache folder; without one the files are read.")] = None,
    method: Annotated[str | None, typer.Option(help="Name in the tables; the checkpoint's by default.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Prompts file (YAML) instead of the packaged one.")] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of bootstrap and probes.")] = 0,
    min_count: Annotated[
        int, typer.Option(min=1, help="Fewest studies with, and without, a label for its metrics.")
    ] = 5,
    probes: Annotated[bool, typer.Option(help="Fit linear probes.")] = True,
    zero_shot: Annotated[bool, typer.Option(help="Classify by prompts.")] = True,
    merge_reports: Annotated[
        bool, typer.Option(help="In instance retrieval, count reports with identical text as one.")
    ] = False,
    prior: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="How much the frequency of a reading counts where images look for reports; 0 is off."
        ),
    ] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Studies encoded at once.")] = 64,
    device: Annotated[str, typer.Option(help=devices.HELP)] = devices.AUTO,
    engine: Annotated[
        Engine, typer.Option(help="Who embeds: this process, or Ray Data (medtrim\\[ray]).")
    ] = Engine.process,
    workers: Annotated[int, typer.Option(min=1, help="Ray actors, with --engine ray.")] = 1,
    strict: Annotated[bool, typer.Option(help="Exit with an error if a study was left out.")] = False,
) -> None:
    """Evaluate a checkpoint: retrieval in four directions, zero-shot and linear-probe classification.

    With --embeddings, evaluate the embeddings of any model instead: retrieval, and probes where --studies has a
    training split that is embedded too. Without --studies all embedded studies count, each as a patient of its own.
    """
    from medtrim.errors import ConfigError
    from medtrim.evaluation import EvaluationOptions, write_evaluation
    from medtrim.types import Provenance
    from medtrim.types.outputs import check_output_folder
    from medtrim.types.tables import rejects_to_table, write_table

    check_output_folder(output)
    lock_outputs(context, output)
    if (checkpoint is None) == (embeddings is None):
        raise ConfigError("name what to evaluate: a CHECKPOINT or --embeddings TABLE, one of the two")
    place = devices.choose_device(device)
    truth = read_truth(studies, annotations, truth_column)
    options = EvaluationOptions(
        resamples=resamples,
        seed=seed,
        min_count=min_count,
        probes=probes,
        zero_shot=zero_shot,
        merge_reports=merge_reports,
        prior=prior,
        batch_size=batch_size,
        contradictions=truth.contradictions,
    )
    splits = Splits(split, train_split, tune_split)
    if embeddings is not None:
        found = _of_embeddings(embeddings, studies, truth, splits, options, method or embeddings.stem)
    else:
        name = str(checkpoint)
        if studies is None:
            raise ConfigError("a checkpoint needs --studies, the table of what to embed")
        found = _of_checkpoint(name, studies, truth, splits, options, method or Path(name).name,
                               cache=cache, prompts=prompts, device=place, engine=engine,
                               workers=workers)  # fmt: skip
    write_evaluation(found.result, output)
    path = output / "rejects.parquet"
    path.unlink(missing_ok=True)
    if found.rejects:
        write_table(rejects_to_table(found.rejects), path, Provenance("rejects"))
    _show(found.result)
    say(f"all figures → {output}")
    report_rejects(len(found.rejects), str(path), strict=strict)


@dataclass(frozen=True)
class Splits:
    """Names of the splits to evaluate on, to fit probes on and to tune thresholds on."""

    test: str
    train: str
    tune: str


@dataclass(frozen=True)
class Evaluated:
    """The figures, and the studies that could not be used."""

    result: EvaluationResult
    rejects: tuple[Reject, ...] = ()


def _of_checkpoint(
    checkpoint: str,
    studies: Path,
    truth: Truth,
    splits: Splits,
    options: EvaluationOptions,
    method: str,
    *,
    cache: Path | None,
    prompts: Path | None,
    device: str,
    engine: Engine,
    workers: int,
) -> Evaluated:
    from medtrim.data import ImageCache
    from medtrim.evaluation import evaluate as run
    from medtrim.evaluation.prompts import load_prompts
    from medtrim.models import load_checkpoint

    read = read_input(studies, (splits.test,))
    bundle = load_checkpoint(checkpoint)
    bundle.model.to(device)  # type: ignore[arg-type]
    with progress_bar("embedding studies") as progress:
        result = run(
            bundle,
            read.studies,
            truth.annotations,
            method=method,
            cache=ImageCache(cache) if cache else None,
            root=read.root,
            split=splits.test,
            train_split=splits.train,
            tune_split=splits.tune,
            options=options,
            prompts=load_prompts(prompts),
            engine=engine,
            workers=workers,
            progress=progress,
        )
    return Evaluated(result, (*read.rejects, *(result.embeddings.rejects if result.embeddings else ())))


def _of_embeddings(
    table: Path, studies: Path | None, truth: Truth, splits: Splits, options: EvaluationOptions, method: str
) -> Evaluated:
    from medtrim.evaluation import EvaluationSet, evaluate_embeddings, read_embeddings

    embeddings = read_embeddings(table)
    if studies is None:
        warn("without --studies every study counts as a patient of its own", label="note:")
        alone = {study_id: study_id for study_id in embeddings.study_ids}
        test = EvaluationSet.align(embeddings, truth.annotations, alone, options=options)
        return Evaluated(evaluate_embeddings(test, method=method, options=options))
    read = read_input(studies, (splits.test,))
    patients = {s.study_id: s.patient_id for s in read.studies}
    known = set(embeddings.study_ids)

    def part(name: str) -> EvaluationSet:
        # A study of the split without an embedding is an error: figures of fewer studies are no comparison.
        ids = [s.study_id for s in read.studies if s.split == name]
        return EvaluationSet.align(embeddings.select(ids), truth.annotations, patients, options=options)

    embedded = any(s.split == splits.train and s.study_id in known for s in read.studies)
    train = part(splits.train) if options.probes and embedded and splits.train != splits.test else None
    result = evaluate_embeddings(part(splits.test), method=method, train=train, options=options)
    return Evaluated(result, read.rejects)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder that `medtrim evaluate` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same studies.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table of all differences (Parquet).")
    ] = None,
) -> None:
    """Differences first − second over the same queries: paired 95 % intervals, p corrected over the lines shown."""
    from rich.markup import escape
    from rich.table import Table

    from medtrim.evaluation import compare as run
    from medtrim.evaluation import left_out, read_evaluation, write_comparison
    from medtrim.evaluation.verdicts import decide
    from medtrim.types.outputs import check_output

    one, two = read_evaluation(first), read_evaluation(second)
    if output is not None:
        check_output(output, *sorted(first.iterdir()), *sorted(second.iterdir()))
    differences = run(one, two)
    if output is not None:
        write_comparison(differences, output, first=one, second=two)
    names = map(escape, (one.method, two.method))
    table = Table("", "metric", *names, "difference", "95 % interval", "p, Holm", "", title_justify="left")
    shown = [d for d in differences if (d.metric in HEADLINE and d.queries == "all") or d.label == "macro"]
    for d, decision in zip(shown, decide(shown), strict=True):
        name = d.metric if d.task == "retrieval" else f"{d.task} {d.metric}"
        p = decision.p_corrected
        table.add_row(
            d.direction,
            name,
            percent(d.first),
            percent(d.second),
            percent(d.value, signed=True),
            d.why_no_p or f"{100 * d.low:+.1f} … {100 * d.high:+.1f}",
            f"{p:.3f}" if math.isfinite(p) else "–",
            "–" if decision.verdict == "open" else decision.verdict,
        )
    out.print(table)
    for task, why in left_out(one, two).items():
        warn(f"{task} is not compared: {why}", label="note:")


def percent(value: float, *, signed: bool = False) -> str:
    """A share in percent, `–` where it is not defined."""
    return f"{100 * value:{'+' if signed else ''}.1f}" if math.isfinite(value) else "–"


def with_interval(figure: Figure) -> str:
    """A figure in percent with its interval, as far as they are defined."""
    if not math.isfinite(figure.value) or not math.isfinite(figure.low):
        return percent(figure.value)
    return f"{percent(figure.value)} ({percent(figure.low)}–{percent(figure.high)})"


def _show(result: EvaluationResult) -> None:
    """The headline figures: all queries by direction, then the classification means."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    directions = list(dict.fromkeys(f.direction for f in result.figures if f.direction))
    facts = result.facts
    say(f"{facts['studies']} studies of {facts['patients']} patients, {facts['normal']} of them normal")
    # The interval has a line of its own, so that nothing is cut in a terminal of 80 columns.
    table = Table(Column("all queries, %", no_wrap=True), "n", *directions, box=SIMPLE_HEAD, padding=0)
    for metric in HEADLINE:
        found = [f for f in result.figures if f.metric == metric and f.queries == "all"]
        cells = {f.direction: with_interval(f).replace(" ", "\n") for f in found}
        table.add_row(metric, str(max((f.n for f in found), default=0)), *(cells.get(d, "–") for d in directions))
    out.print(table)
    for f in result.figures:
        if f.label == "macro":
            say(f"{f.task} {f.metric}: {with_interval(f)}")
    if unread := facts.get("unread"):
        warn(
            f"studies left out: {unread}, in whose reports nothing is recognised: their findings are unknown",
            label="note:",
        )
    if facts["trivial"]:
        warn(
            f"{', '.join(facts['trivial'])} reach past the gallery of {facts['studies']} studies: "
            "they are 100 % for any model",
            label="note:",
        )
    if facts["patients"] < 2:
        warn("all studies are of one patient: there are no intervals", label="note:")
    if facts["labels_left_out"]:
        warn(f"labels with too few studies, left out: {', '.join(facts['labels_left_out'])}", style="")
