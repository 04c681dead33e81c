"""`medtrim evaluate` and `medtrim compare`: what a checkpoint is worth, and whether another is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import err, out, progress_bar, report_rejects
from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from medtrim.evaluation import EvaluationResult
    from medtrim.types import Annotation, Contradictions

# What the terminal shows; the folder has everything.
HEADLINE = ("R@1", "R@10", "disease P@10", "fine P@10", "nDCG@10", "attribute AUC", "disease AUC",
            "wrong side @R", "wrong severity @R", "conflict-free @R")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `medtrim evaluate` and `medtrim compare`."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder, or a hub name.")],
    studies: Annotated[Path, typer.Option(help="Studies table.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for metrics.parquet, evaluation.json …")],
    annotations: Annotated[Path | None, typer.Option(help="Annotations table that says what is true.")] = None,
    truth_column: Annotated[
        str | None, typer.Option(help="Instead: a column of the studies table with findings, such as truth.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to judge.")] = "test",
    train_split: Annotated[str, typer.Option(help="Split that linear probes are fitted on.")] = "train",
    tune_split: Annotated[str, typer.Option(help="Split that sets zero-shot thresholds.")] = "val",
    cache: Annotated[Path | None, typer.Option(help="Image cache folder; without one the files are read.")] = None,
    method: Annotated[str | None, typer.Option(help="Name in the tables; the checkpoint's by default.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Prompts file (YAML) instead of the packaged one.")] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and probes.")] = 0,
    min_count: Annotated[int, typer.Option(help="Studies with and without a label for it to be judged.")] = 5,
    probes: Annotated[bool, typer.Option(help="Fit linear probes.")] = True,
    zero_shot: Annotated[bool, typer.Option(help="Classify by prompts.")] = True,
    batch_size: Annotated[int, typer.Option(help="Studies encoded at once.")] = 64,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    strict: Annotated[bool, typer.Option(help="Exit with an error if a study was left out.")] = False,
) -> None:
    """Judge a checkpoint: retrieval in four directions, zero-shot and linear-probe classification."""
    from medtrim.data import ImageCache
    from medtrim.evaluation import EvaluationOptions, write_evaluation
    from medtrim.evaluation import evaluate as run
    from medtrim.evaluation.prompts import load_prompts
    from medtrim.models import load_checkpoint
    from medtrim.types import Provenance
    from medtrim.types.tables import read_studies, rejects_to_table, write_table

    truth, contradictions = _truth(studies, annotations, truth_column)
    bundle = load_checkpoint(checkpoint)
    bundle.model.to(device)  # type: ignore[arg-type]
    options = EvaluationOptions(
        resamples=resamples,
        seed=seed,
        min_count=min_count,
        probes=probes,
        zero_shot=zero_shot,
        batch_size=batch_size,
        contradictions=contradictions,
    )
    with progress_bar("embedding studies") as progress:
        result = run(
            bundle,
            read_studies(studies),
            truth,
            method=method or Path(checkpoint).name,
            cache=ImageCache(cache) if cache else None,
            root=studies.parent,
            split=split,
            train_split=train_split,
            tune_split=tune_split,
            options=options,
            prompts=load_prompts(prompts),
            progress=progress,
        )
    write_evaluation(result, output)
    rejects = result.embeddings.rejects if result.embeddings else ()
    path = output / "rejects.parquet"
    path.unlink(missing_ok=True)
    if rejects:
        write_table(rejects_to_table(rejects), path, Provenance("rejects"))
    _show(result)
    out.print(f"all figures → {output}")
    report_rejects(len(rejects), str(path), strict=strict)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder that `medtrim evaluate` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same studies.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table of all differences (Parquet).")
    ] = None,
) -> None:
    """Differences first − second over the same queries, with paired 95 % intervals."""
    from rich.table import Table

    from medtrim.evaluation import compare as run
    from medtrim.evaluation import read_evaluation, write_comparison

    one, two = read_evaluation(first), read_evaluation(second)
    differences = run(one, two)
    if output is not None:
        write_comparison(differences, output, first=one, second=two)
    table = Table("", "metric", one.method, two.method, "difference", "95 % interval", "p", title_justify="left")
    for d in differences:
        if (d.metric in HEADLINE and d.queries == "abnormal") or d.label == "macro":
            name = d.metric if d.task == "retrieval" else f"{d.task} {d.metric}"
            numbers = (f"{100 * v:.1f}" for v in (d.first, d.second))
            bounds = f"{100 * d.low:+.1f} … {100 * d.high:+.1f}"
            table.add_row(d.direction, name, *numbers, f"{100 * d.value:+.1f}", bounds, f"{d.p:.3f}")
    out.print(table)


def _truth(studies: Path, annotations: Path | None, column: str | None) -> tuple[list[Annotation], Contradictions]:
    from medtrim.evaluation.truth import annotations_of_column, contradictions_of
    from medtrim.types import DEFAULT_CONTRADICTIONS
    from medtrim.types.tables import read_annotations

    if (annotations is None) == (column is None):
        raise ConfigError("say what is true: --annotations TABLE or --truth-column NAME, one of the two")
    if annotations is not None:
        return read_annotations(annotations), contradictions_of(annotations)
    return annotations_of_column(studies, str(column)), DEFAULT_CONTRADICTIONS


def _show(result: EvaluationResult) -> None:
    """The headline figures: abnormal queries by direction, then the classification means."""
    from rich.table import Table

    directions = list(dict.fromkeys(f.direction for f in result.figures if f.direction))
    facts = result.facts
    out.print(f"{facts['studies']} studies of {facts['patients']} patients, {facts['normal']} of them normal")
    table = Table("abnormal queries, %", "n", *directions, title_justify="left")
    for metric in HEADLINE:
        cells = {
            f.direction: f"{100 * f.value:.1f} ({100 * f.low:.1f}–{100 * f.high:.1f})"
            for f in result.figures
            if f.metric == metric and f.queries == "abnormal"
        }
        n = max((f.n for f in result.figures if f.metric == metric and f.queries == "abnormal"), default=0)
        table.add_row(metric, str(n), *(cells.get(d, "–") for d in directions))
    out.print(table)
    for f in result.figures:
        if f.label == "macro":
            out.print(f"{f.task} {f.metric}: {100 * f.value:.1f} ({100 * f.low:.1f}–{100 * f.high:.1f})")
    if facts["labels_left_out"]:
        err.print(f"too rare to be judged: {', '.join(facts['labels_left_out'])}")
