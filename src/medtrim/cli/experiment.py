"""`medtrim experiment`: methods × seeds at equal effort, their tables, and the protocols of the field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli.console import default_command, err, out, progress_bar, report_rejects
from medtrim.cli.suite_progress import run_and_write

if TYPE_CHECKING:
    from medtrim.experiments.results import SuiteResults
    from medtrim.experiments.rows import Row


experiment = typer.Typer(
    cls=default_command("run"),
    no_args_is_help=True,
    help="Compare methods at equal effort: medtrim experiment SUITE -o DIR.",
)


def register(app: typer.Typer) -> None:
    """Add `medtrim experiment` with its subcommands."""
    app.add_typer(experiment, name="experiment")


SuiteArgument = Annotated[
    str,
    typer.Argument(
        help="YAML file, or a packaged suite: demo, quick, readme, unseen, controls, steps, errors, tuning …"
    ),
]
ScaleOption = Annotated[str, typer.Option(help="A scale of the suite, such as gpu.")]


@experiment.command("run")
def run(
    suite: SuiteArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; a second start goes on where it stopped.")
    ],
    scale: ScaleOption = "",
    seed: Annotated[list[int] | None, typer.Option(help="Seeds instead of the suite's. Repeatable.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side.")] = None,
) -> None:
    """Run what is not finished yet, then write results.parquet, results.json and report.html."""
    from medtrim.experiments.load import load_suite

    read = load_suite(suite, scale=scale, seeds=seed or ())
    if jobs is not None:
        read = read.model_copy(update={"jobs": jobs})
    done, results, page = run_and_write(read, output)
    _show(results)
    out.print(f"→ {page}", soft_wrap=True)
    if done.failures:
        err.print(f"[yellow]{len(done.failures)} run(s) failed; start again to try them again[/yellow]")
        raise typer.Exit(1)


@experiment.command("plan")
def plan(suite: SuiteArgument, scale: ScaleOption = "") -> None:
    """Check a suite and list its runs without running any."""
    from medtrim.experiments.check import check_suite
    from medtrim.experiments.load import load_suite
    from medtrim.experiments.plan import plan_final, plan_search

    read = load_suite(suite, scale=scale)
    check_suite(read)
    runs = [*plan_search(read), *plan_final(read, {})]
    if (start := read.start) is not None:
        steps = f", {start.train['steps']} steps" if "steps" in start.train else ""
        out.print(f"start   {start.objective} on {start.phantom.studies:,} phantoms{steps}", markup=False)
    for planned in runs:
        at = ", ".join(f"{key}={value}" for key, value in planned.point.items())
        out.print(f"{planned.role:7} {planned.title}" + (f"  {at}" if at else ""), markup=False)
    out.print(f"{len(runs)} runs, {read.jobs} side by side on {read.threads} thread(s) each")


@experiment.command("table")
def table(
    folder: Annotated[Path, typer.Argument(help="Folder of a suite that has run.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the main table as Markdown.")] = False,
) -> None:
    """Show the main table of a finished suite."""
    from medtrim.experiments.report.markdown import main_table
    from medtrim.experiments.results import read_results

    results = read_results(folder)
    if markdown:
        out.print(main_table(results), markup=False, soft_wrap=True)
    else:
        _show(results)


@experiment.command("chosen")
def chosen(folder: Annotated[Path, typer.Argument(help="Folder of a suite that has searched.")]) -> None:
    """Print the points that a suite's search chose, as YAML to lay over another suite's methods."""
    from medtrim.experiments.choose import chosen_layers
    from medtrim.experiments.results import read_results
    from medtrim.types.yamlfile import dump_yaml

    out.print(dump_yaml({"methods": chosen_layers(read_results(folder).facts)}), markup=False, soft_wrap=True)


@experiment.command("protocols")
def protocols() -> None:
    """List the ready-made protocols of the field and what each decided."""
    from medtrim.experiments.protocols import PROTOCOLS, load_protocol

    for name in PROTOCOLS:
        protocol = load_protocol(name)
        out.print(f"[bold]{name}[/bold]  {protocol.title} ({protocol.task})")
        out.print(f"  {protocol.source}", markup=False)
        for choice in protocol.choices:
            out.print(f"  · {choice}", markup=False)


@experiment.command("manifest")
def manifest(
    protocol: Annotated[str, typer.Argument(help="Name of a protocol, or a YAML file.")],
    studies: Annotated[Path, typer.Argument(help="Studies table, as `medtrim data import` writes it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Manifest to write (Parquet): ids, no text.")],
) -> None:
    """Select the studies that a protocol is about."""
    from medtrim.experiments.protocols import load_protocol, select, write_manifest
    from medtrim.types.tables import read_studies

    made = select(load_protocol(protocol), read_studies(studies))
    write_manifest(made, output)
    for name, count in made.counts.items():
        out.print(f"  {name}: {count:,}")
    out.print(f"{len(made.part('evaluated')):,} studies to evaluate → {output}")


@experiment.command("evaluate")
def evaluate(
    manifest: Annotated[Path, typer.Argument(help="Manifest of a protocol.")],
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    studies: Annotated[Path, typer.Argument(help="The studies table that the manifest was made from.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Figures to write (JSON).")],
    image_root: Annotated[Path | None, typer.Option(help="Folder that relative image paths start from.")] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Of the patient-level bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and of the probes' draws.")] = 0,
    device: Annotated[str, typer.Option(help="Where the model runs.")] = "cpu",
) -> None:
    """Evaluate a checkpoint by a protocol."""
    import torch

    from medtrim.experiments.protocols import evaluate_protocol, read_manifest
    from medtrim.models import load_checkpoint
    from medtrim.types.tables import read_studies

    read = read_manifest(manifest)
    bundle = load_checkpoint(checkpoint)
    bundle.model.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps Module.to
    with progress_bar("embedding") as progress:
        found = evaluate_protocol(
            read,
            read_studies(studies),
            bundle,
            root=image_root or studies.parent,
            resamples=resamples,
            seed=seed,
            progress=progress,
        )
    found.write(output)
    for figure in found.figures:
        what = " ".join(part for part in (figure.direction, figure.task, figure.metric, figure.label) if part)
        out.print(f"{what}: {100 * figure.value:.1f} ({100 * figure.low:.1f} to {100 * figure.high:.1f})")
    report_rejects(len(found.rejects), str(output), strict=False)


def _show(results: SuiteResults) -> None:
    from rich.table import Table

    from medtrim.evaluation import DIRECTION_NAMES

    keys = results.headline
    for direction in dict.fromkeys(key.direction for key in keys):
        shown = [key for key in keys if key.direction == direction]
        headings = [key.heading + (" ↓" if key.info.better == "lower" else "") for key in shown]
        grid = Table("method", *headings, title=DIRECTION_NAMES.get(direction, "classification"))
        for method in results.methods:
            grid.add_row(results.label(method), *[_cell(results.pooled(method, key)) for key in shown])
        out.print(grid)


def _cell(row: Row | None) -> str:
    if row is None or row.value != row.value:
        return "–"
    info = row.key.info
    return f"{info.show(row.value)}\n[dim]{info.show(row.low)}–{info.show(row.high)}[/dim]"
