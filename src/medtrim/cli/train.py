"""`medtrim train`: align a dual encoder with a corpus; `medtrim doctor`: is this machine ready for it?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from medtrim.cli.console import err, lock_outputs, out, printable, progress_bar, report_rejects, say, warn

if TYPE_CHECKING:
    from medtrim.training import TrainConfig, TrainResult
    from medtrim.training.load import CheckedConfig
    from medtrim.training.preflight import Check
    from medtrim.types.tables import Progress


_MARKS = {"good": "[green]✓[/green]", "note": "[yellow]![/yellow]", "bad": "[red]✗[/red]"}


def register(app: typer.Typer) -> None:
    """Add `medtrim train` and `medtrim doctor`."""
    app.command("train")(train)
    app.command("doctor")(doctor)


def train(
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(help="Recipe (YAML); flags override it.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Packaged recipe to start from: tiny-cpu, pretrained-cpu, paper or single-gpu."),
    ] = None,
    studies: Annotated[Path | None, typer.Option(help="Studies table (Parquet, CSV, JSONL).")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotations table of `medtrim annotate`.")] = None,
    triplets: Annotated[Path | None, typer.Option(help="Triplets table of `medtrim mine`.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Image cache of `medtrim data cache`.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the run.")] = None,
    objective: Annotated[str | None, typer.Option(help="Objective, such as medtrim or clip.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, batches and augmentation.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Weight updates.")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training studies, instead of steps.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Distinct studies a batch.")] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate; with optimizer.matrices muon (tiny-cpu), the encoders' matrices have "
            "optimizer.matrix_learning_rate instead."
        ),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(min=0, help="Steps between resumable checkpoints; 0 writes none.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of the recipe: optimizer.warmup=0.25. Repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen and everything that is wrong; train nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest whole checkpoint.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when a record could not be used.")] = False,
) -> None:
    """Train an image and a text encoder so that alike studies lie close together."""
    from medtrim.training import load_config, parse_overrides
    from medtrim.training.load import check_config
    from medtrim.types.settings import merge

    flags = {
        "recipe": recipe or (None if config else "tiny-cpu"),
        "data.studies": studies,
        "data.annotations": annotations,
        "data.triplets": triplets,
        "data.cache": cache,
        "out": output,
        "objective.name": objective,
        "seed": seed,
        "steps": steps,
        "epochs": epochs,
        "batch.size": batch_size,
        "optimizer.learning_rate": learning_rate,
        "save_every": save_every,
    }
    if epochs is not None and steps is None:
        flags["steps"] = 0
    given = {name: value for name, value in flags.items() if value is not None}
    if dry_run:
        _dry_run(check_config(config, flags=given, settings=settings or []))
        return
    read = load_config(config, merge(parse_overrides(given), parse_overrides(settings or [])))
    result = _run(context, read, resume=resume)
    if os.environ.get("RANK", "0") != "0":
        return
    _summary(result)
    report_rejects(len(result.rejects), str(read.out / "rejects.parquet"), strict=strict)


def _dry_run(checked: CheckedConfig) -> None:
    from medtrim.errors import MedTrimError
    from medtrim.training.corpus import CorpusTables
    from medtrim.training.preflight import dry_run, find_problems

    config, problems = checked.config, list(checked.problems)
    if config is None:
        _refuse(problems)
    tables = CorpusTables(config)
    problems += find_problems(config, missing=checked.missing, dropped=checked.dropped, tables=tables)
    if problems:
        _refuse(problems)
    try:
        with progress_bar("images") as images:
            found = dry_run(config, tables=tables, progress=images)
    except MedTrimError as error:
        _refuse([str(error)])
    show_checks(found.checks)


def _refuse(problems: Iterable[str]) -> NoReturn:
    for problem in problems:
        warn(problem, label="problem:", style="red")
    raise typer.Exit(2)


def show_checks(checks: Iterable[Check]) -> int:
    """Print a line for each of `checks` as it comes; returns how many are bad."""
    bad = 0
    for check in checks:
        out.print(f"{_MARKS[check.state]} {escape(printable(f'{check.name}: {check.seen}'))}", soft_wrap=True)
        bad += check.state == "bad"
    return bad


def doctor(
    studies: Annotated[Path | None, typer.Option(help="Studies table whose report lengths to check.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Image cache to look at.")] = None,
    model: Annotated[str | None, typer.Option(help="Preset, or folder or hub name of a checkpoint.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder that a run would write to.")] = Path(),
    checksums: Annotated[bool, typer.Option("--checksums", help="Compare every cached image.")] = False,
) -> None:
    """Check versions, devices, disk, cache, and whether images and reports fit the model. Exits 1 on a fault."""
    from medtrim.training.preflight import examine

    if show_checks(examine(studies=studies, cache=cache, model=model, out=output, checksums=checksums)):
        raise typer.Exit(1)


def _run(context: typer.Context, config: TrainConfig, *, resume: bool) -> TrainResult:
    from medtrim.errors import ModelError
    from medtrim.training import train as run
    from medtrim.training.checkpoints import check_resumable
    from medtrim.training.preflight import crowding, hub_problems
    from medtrim.types.outputs import check_output_folder

    check_output_folder(config.out)
    # Of several processes that torchrun started, the first does the talking, and holds the lock for all.
    first = os.environ.get("RANK", "0") == "0"
    if first:
        lock_outputs(context, config.out)
        if crowded := crowding(config.threads):
            warn(crowded)
    if resume:
        check_resumable(config)
    if absent := hub_problems(config):
        raise ModelError("; ".join(absent))
    evaluate = None
    if config.evaluation.every:
        from medtrim.experiments.validation import make_validator  # a training without it loads no evaluation

        evaluate = make_validator(config)
    if not first:
        return run(config, resume=resume, evaluate=evaluate)
    shown: dict[str, str] = {"note": ""}

    def note(line: Mapping[str, float]) -> None:
        shown["note"] = describe(line)
        if not err.is_terminal:
            warn(f"step {int(line['step'])}: {shown['note']}", style="")

    with progress_bar("images") as images, _training_bar(shown) as progress:
        return run(
            config, resume=resume, progress=progress, cache_progress=images, on_metrics=note, evaluate=evaluate
        )


def describe(line: Mapping[str, float]) -> str:
    """One line of metrics.jsonl as a person wants to see it go by."""
    parts = [f"loss {line['loss']:.3f}"] if "loss" in line else []
    parts += [
        f"{name.removeprefix('loss/')} {value:.3f}" for name, value in line.items() if name.startswith("loss/")
    ]
    parts += [f"{name} {value:.3f}" for name, value in line.items() if name.startswith("eval/")]
    if "studies_per_second" in line:
        parts.append(f"{line['studies_per_second']:,.0f} studies/s")
    return " · ".join(parts)


@contextmanager
def _training_bar(shown: Mapping[str, str]) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: tuple[Any, ...] = (
        TextColumn("training"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=err) as bar:
        task = bar.add_task("training", total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total or None, note=shown["note"])


def _summary(result: TrainResult) -> None:
    if result.resumed_from:
        out.print(f"went on from step {result.resumed_from:,}")
    for torn in result.torn:
        warn(str(torn), label="passed over a damaged checkpoint:")
    if result.triplets_left_out:
        warn(f"{result.triplets_left_out:,} triplets reach outside the training split: left out")
    say(
        f"{result.steps:,} steps on {result.studies:,} studies in {result.seconds:,.0f} s "
        f"({result.studies_per_second:,.0f} studies/s) → {result.checkpoint}"
    )
    say(f"  metrics: {result.metrics}")
