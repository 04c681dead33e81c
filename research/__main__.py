"""`python -m research`: experiments on small collections of real studies, from a checkout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import err, progress_bar, say

if TYPE_CHECKING:
    from medtrim.types.tables import Progress as ProgressCall
    from research.results import Findings

app = typer.Typer(
    name="python -m research",
    help="Experiments on small collections of real studies.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold report text
)

OutputOption = Annotated[
    Path, typer.Option("-o", "--output", help="Folder; a second start goes on where it stopped.")
]
IntoOption = Annotated[
    Path | None, typer.Option(help="Also put the tables between their marks in this page (docs/real-data.md).")
]
ResamplesOption = Annotated[int, typer.Option(min=1, help="Of the patient-level bootstrap.")]


@app.command("text-order")
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

    from medtrim.types.outputs import check_output_folder
    from research.results import check_marks
    from research.text_corpus import read_coded_reports
    from research.text_methods import TEXT_METHODS
    from research.text_order import NAME, TextOrderSettings
    from research.text_order import text_order as order

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


@app.callback()
def _root() -> None:
    """Keep the command's name where there is one command alone."""


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
    from research.results import insert_findings, markdown, write_findings

    table = write_findings(findings, folder)
    if into is not None:
        insert_findings(into, findings)
    say(markdown(findings))
    say(f"→ {table}")


if __name__ == "__main__":
    app()
