"""`python -m research`: experiments on small collections of real studies, and the pages of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medtrim.cli import main
from medtrim.cli.console import err, progress_bar, say

if TYPE_CHECKING:
    from medtrim.types.tables import Progress as ProgressCall
    from research.results import Findings

app = typer.Typer(
    name="python -m research",
    help="Experiments on small collections of real studies, and the pages of results.",
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


DataOption = Annotated[
    Path, typer.Option("--data", help="Folder with manifest.csv: image, patientid, view, brixia_senior_A to F.")
]
PhantomsOption = Annotated[int, typer.Option("--studies", min=500, help="Phantoms; two thirds are trained on.")]


@app.command("make-model")
def make_model(
    output: OutputOption,
    studies: PhantomsOption = 4500,
    seed: Annotated[int, typer.Option(min=0, help="Of phantoms, projections, batches and noise.")] = 0,
) -> None:
    """Make the benchmark's model, from nothing: draw phantoms, read their reports, train `pretrained-cpu`."""
    from medtrim.types.outputs import check_output_folder
    from research.make_model import make_model as make
    from research.make_model import make_phantoms

    check_output_folder(output)
    with progress_bar("drawing") as progress:
        make_phantoms(output / "phantoms", studies=studies, seed=seed, progress=progress)
    with progress_bar("pooling images") as progress:
        made = make(output / "run", output / "phantoms", seed=seed, progress=progress)
    say(f"{made.studies} studies, {made.steps} steps → {made.checkpoint}")


@app.command("measure")
def measure(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder, such as OUT/run/model of make-model.")],
    data: DataOption,
) -> None:
    """Measure one model on films with zone scores, by text prompts and by a probe."""
    from medtrim.evaluation import embed_images
    from medtrim.models import load_checkpoint
    from research.films import read_films
    from research.prompts import prompted_zones
    from research.zone_benchmark import OURS, Benchmark, prompted_row, zone_brightness
    from research.zone_scores import agreement, by_fold
    from research.zone_table import zone_markdown

    films, bundle = read_films(data), load_checkpoint(model)
    pixels = films.pixels(bundle.image_size, fit=bundle.fit, equalize=bundle.equalize)
    mirrored = pixels[:, :, ::-1].copy()
    images, turned = embed_images(bundle, pixels), embed_images(bundle, mirrored)
    prompted = {
        "reader": prompted_row([films.junior], None, films),
        "brightness": prompted_row([zone_brightness(pixels)], [zone_brightness(mirrored)], films),
        OURS: prompted_row([prompted_zones(bundle, images)], [prompted_zones(bundle, turned)], films),
    }
    probe = by_fold(images.astype("float64"), films.senior, films.patients)
    probed = {OURS: agreement([probe], films.senior, films.patients)}
    say(zone_markdown(Benchmark(prompted, probed, {}, {}, {}, len(films), len(set(films.patients)))))


@app.command("zones")
def zones(
    data: DataOption,
    output: OutputOption,
    studies: PhantomsOption = 4500,
    seed: Annotated[list[int] | None, typer.Option(help="Training seeds. Repeatable; 0 to 4 without.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Repeatable; all without.")] = None,
    once: Annotated[
        list[str] | None, typer.Option(help="A method that is trained with the first seed alone. Repeatable.")
    ] = None,
    into: IntoOption = None,
    summary: Annotated[
        Path | None, typer.Option(help="Also put a short table between its marks in this page (README.md).")
    ] = None,
) -> None:
    """The benchmark: every method from the same encoders on phantoms, measured on real films' scores and notes."""
    from medtrim.types.jsonfile import write_json
    from medtrim.types.outputs import check_output_folder
    from research.films import read_films
    from research.make_model import make_phantoms
    from research.notes import read_noted_films
    from research.results import check_marks, insert_block
    from research.zone_benchmark import METHODS, run_benchmark
    from research.zone_table import NAME, SUMMARY, short_markdown, zone_facts, zone_markdown

    check_output_folder(output)
    for page, name in ((into, NAME), (summary, SUMMARY)):
        if page is not None:
            check_marks(page, name)
    films, noted = read_films(data), read_noted_films(data)
    with progress_bar("drawing") as progress:
        make_phantoms(output / "phantoms", studies=studies, seed=0, progress=progress)
    with _stages() as stage:
        found = run_benchmark(
            films,
            noted,
            output / "phantoms",
            output / "runs",
            seeds=tuple(seed or range(5)),
            methods=tuple(method or METHODS),
            once=tuple(once or ()),
            stage=stage,
        )
    write_json(output / "zones.json", zone_facts(found))
    table = zone_markdown(found)
    if into is not None:
        insert_block(into, NAME, table)
    if summary is not None:
        insert_block(summary, SUMMARY, short_markdown(found))
    say(table)


@app.command("lung-box")
def lung_box(
    output: Annotated[Path, typer.Option("-o", "--output", help="src/medtrim/data/lungs.npy in a checkout.")],
    studies: Annotated[int, typer.Option(min=50, help="Phantoms to fit on.")] = 1500,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Fit the rectangle around the lungs on phantoms."""
    from research.lung_box import write_lung_box

    write_lung_box(output, studies=studies, seed=seed)
    say(f"→ {output}")


@app.command("suite")
def suite(
    folder: Annotated[Path, typer.Argument(help="Folder of a suite that has run.")],
    into: Annotated[
        Path | None, typer.Option(help="Put the summary between the results marks of this page (README.md).")
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(help="Put the suite's section into this page (docs/results.md).")
    ] = None,
) -> None:
    """Put the results of a finished suite into the pages of this repository."""
    from medtrim.experiments.results import read_results
    from research.results import insert_block
    from research.suite_page import SUMMARY_NAME, summary, write_docs_section

    results = read_results(folder)
    if into is not None:
        insert_block(into, SUMMARY_NAME, summary(results))
        say(f"→ {into}")
    if docs is not None:
        write_docs_section(results, docs)
        say(f"→ {docs}")


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
    main(app)
