"""`medtrim experiment cross-validate` and `text-order`: experiments on small sets of real studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import err, progress_bar, report_rejects, say
from medtrim.cli.experiment import experiment

if TYPE_CHECKING:
    from medtrim.experiments.real.results import Findings
    from medtrim.types.tables import Progress as ProgressCall

OutputOption = Annotated[
    Path, typer.Option("-o", "--output", help="Folder; a second start goes on where it stopped.")
]
IntoOption = Annotated[
    Path | None, typer.Option(help="Also put the tables between their marks in this page (docs/real-data.md).")
]
ResamplesOption = Annotated[int, typer.Option(min=1, help="Of the patient-level bootstrap.")]


def register(app: typer.Typer) -> None:
    """The commands are `medtrim experiment`'s own: importing this module has added them."""


@experiment.command("text-order")
def text_order(
    reports: Annotated[Path, typer.Argument(help="Open-i's reports (archive or folder), or a table of reports.")],
    output: OutputOption,
    codes: Annotated[str, typer.Option(help="Label column with each report's expert codes.")] = "mesh",
    method: Annotated[
        list[str] | None, typer.Option(help="soft-targets, triplets or simcse. Repeatable; all without.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Training seeds. Repeatable; 0, 1, 2 without.")] = None,
    rate: Annotated[list[float] | None, typer.Option(help="Learning rates every method tries. Repeatable.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Weight updates of a training.")] = 160,
    batch: Annotated[int, typer.Option(min=2, help="Reports a step.")] = 64,
    looks: Annotated[int, typer.Option(min=1, help="Moments of a training that validation chooses from.")] = 4,
    split_seed: Annotated[int, typer.Option(min=0, help="Of the split by patient.")] = 0,
    resamples: ResamplesOption = 2000,
    into: IntoOption = None,
) -> None:
    """Train text encoders alone; do they order unseen reports as expert codes do?"""
    import torch

    from medtrim.experiments.real.results import check_marks
    from medtrim.experiments.real.text_corpus import read_coded_reports
    from medtrim.experiments.real.text_methods import TEXT_METHODS
    from medtrim.experiments.real.text_order import NAME, TextOrderSettings
    from medtrim.experiments.real.text_order import text_order as order
    from medtrim.types.outputs import check_output_folder

    check_output_folder(output)
    if into is not None:
        check_marks(into, NAME)
    torch.set_num_threads(1)
    settings = TextOrderSettings(
        methods=tuple(method or TEXT_METHODS),
        seeds=tuple(seed or (0, 1, 2)),
        rates=tuple(rate or (1e-3, 3e-3)),
        steps=steps,
        batch=batch,
        looks=looks,
        resamples=resamples,
    )
    with progress_bar("reading reports") as progress:
        corpus = read_coded_reports(reports, codes=codes, split_seed=split_seed, progress=progress)
    with _stages() as stage:
        findings = order(corpus, settings, output, stage=stage)
    _finish(findings, output, into)


@experiment.command("cross-validate")
def cross_validate(
    manifest: Annotated[Path, typer.Argument(help="Table with an image, a patient and a note a row.")],
    output: OutputOption,
    folds: Annotated[int, typer.Option(min=2, help="Parts that patients are dealt into.")] = 5,
    fold_seed: Annotated[int, typer.Option(min=0, help="Of that deal.")] = 0,
    method: Annotated[
        list[str] | None, typer.Option(help="Method of the suite readme. Repeatable; all without.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Training seeds. Repeatable; 0 without.")] = None,
    rate: Annotated[
        list[float] | None, typer.Option(help="Learning rates that every method tries. Repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Weight updates of a training.")] = 60,
    batch: Annotated[int, typer.Option(min=2, help="Studies a step, of as many patients.")] = 32,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A further training key for all methods, key=value.")
    ] = None,
    zones: Annotated[
        str, typer.Option(help="What the columns of zone scores begin with, before A to F.")
    ] = "brixia_senior_",
    resamples: ResamplesOption = 2000,
    into: IntoOption = None,
) -> None:
    """Cross-validate the methods by patient on a small collection of real studies."""
    from medtrim.experiments.prepare import image_size_of
    from medtrim.experiments.real.cohort import read_cohort
    from medtrim.experiments.real.cross_validate import FEWEST_ZONED, NAME, ZONES_NAME, CrossValidation
    from medtrim.experiments.real.cross_validate import cross_validate as validate
    from medtrim.experiments.real.folds import make_folds
    from medtrim.experiments.real.results import check_marks
    from medtrim.experiments.resolve import training_config
    from medtrim.training.load import parse_overrides
    from medtrim.types.outputs import check_output_folder
    from medtrim.types.settings import merge

    check_output_folder(output)
    if into is not None:
        check_marks(into, NAME)
    settings = CrossValidation(
        methods=tuple(method or ()),
        seeds=tuple(seed or (0,)),
        rates=tuple(rate or (1e-3, 3e-3)),
        train=merge({"steps": steps, "batch": {"size": batch}}, parse_overrides(set_ or [])),
        resamples=resamples,
    )
    size = image_size_of(training_config(settings.suite().train))
    cohort = read_cohort(manifest, zones=zones)
    say(", ".join(f"{count} {name}" for name, count in cohort.counts.items()))
    dealt = make_folds(cohort, output / "corpus", folds=folds, seed=fold_seed, size=size)
    report_rejects(len(cohort.rejects), str(output / "corpus" / "rejects.parquet"), strict=False)
    if into is not None and len(dealt.zoned) >= FEWEST_ZONED:
        check_marks(into, ZONES_NAME)
    with _stages() as stage:
        main, agreement = validate(dealt, settings, output, stage=stage)
    _finish(main, output, into)
    if agreement is None:
        say(
            f"{len(dealt.zoned)} usable images have zone scores in columns {zones}A to {zones}F, {FEWEST_ZONED} "
            "are needed: agreement with them was not measured"
        )
    else:
        _finish(agreement, output / "zones", into)


@contextmanager
def _stages() -> Iterator[Callable[[str], ProgressCall]]:
    """One bar a stage; without a terminal a line for each step of it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as bar:
        tasks: dict[str, TaskID] = {}

        def stage(name: str) -> ProgressCall:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=None)

            def progress(done: int, total: int) -> None:
                bar.update(tasks[name], completed=done, total=total or None)
                if not err.is_terminal:
                    err.print(f"{name}: {done} of {total}", markup=False)

            return progress

        yield stage


def _finish(findings: Findings, folder: Path, into: Path | None) -> None:
    from medtrim.experiments.real.results import insert_findings, markdown, write_findings

    table = write_findings(findings, folder)
    if into is not None:
        insert_findings(into, findings)
    say(markdown(findings))
    say(f"→ {table}")
