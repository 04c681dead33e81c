"""`medtrim demo | run`: the whole way, from studies to a report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from medtrim.cli.console import err, out
from medtrim.errors import ConfigError

if TYPE_CHECKING:
    from medtrim.experiments.pipeline import PipelineResult

Methods = Annotated[
    str, typer.Option(help="Methods to compare, with commas between; the first is compared with the others.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any key of the recipe: optimizer.warmup=0.25. Repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run every stage again, whatever the folder holds.")]
DEFAULT_METHODS = "medtrim,clip"


def register(app: typer.Typer) -> None:
    """Add `medtrim demo` and `medtrim run`."""
    app.command("demo")(demo)
    app.command("run")(run)


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the run; report.html goes there.")
    ] = Path("demo"),
    studies: Annotated[int, typer.Option("--studies", "-n", min=1, help="Phantoms to draw.")] = 6000,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each method.")] = 340,
    size: Annotated[int, typer.Option(min=32, help="Side of the training images, pixels.")] = 64,
    methods: Methods = DEFAULT_METHODS,
    settings: Settings = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> None:
    """Draw chest X-rays, read their reports, train MedTrim and CLIP alike, compare them, write a report."""
    started = time.perf_counter()
    with _screen() as monitor:
        from medtrim.experiments.demo import run_demo

        _clear(output, fresh)
        result = run_demo(
            output,
            seed=seed,
            n=studies,
            steps=steps,
            size=size,
            methods=_names(methods),
            settings=_settings(settings),
            monitor=monitor,
            command=_command(),
        )
    _summary(result, time.perf_counter() - started)


def run(
    studies: Annotated[
        Path,
        typer.Argument(
            help="Your studies: a table with image path, findings, impression and patient id, or a corpus."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run; report.html goes there.")],
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN where a column has an unusual name; repeatable.")
    ] = None,
    image_root: Annotated[Path | None, typer.Option(help="Folder that relative image paths start from.")] = None,
    layout: Annotated[str, typer.Option(help="auto, table, text, openi, mimic-cxr or chexpert-plus.")] = "auto",
    patients: Annotated[
        str, typer.Option(help="required; or study: every study is a patient of its own.")
    ] = "required",
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    split: Annotated[
        str, typer.Option(help="Shares by patient for studies without a split.")
    ] = "train=0.7,val=0.1,test=0.2",
    methods: Methods = DEFAULT_METHODS,
    recipe: Annotated[str, typer.Option(help="Training recipe: tiny-cpu, paper, single-gpu, or a YAML file.")] = (
        "tiny-cpu"
    ),
    settings: Settings = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of each method.")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training studies, instead of steps.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Studies a batch.")] = None,
    size: Annotated[int | None, typer.Option(min=8, help="Side of the training images, pixels.")] = None,
    save_every: Annotated[
        int, typer.Option(min=0, help="Steps between checkpoints to resume from; 0: none.")
    ] = 200,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")] = 1000,
    jobs: Annotated[int, typer.Option(min=0, help="Trainings at a time; 0: one a core, one alone on a GPU.")] = 0,
    seed: Seed = 0,
    fresh: Fresh = False,
    strict: Annotated[bool, typer.Option(help="Exit with an error if any record was rejected.")] = False,
) -> None:
    """The same way on your own studies: read, annotate, mine, train, compare, report."""
    started = time.perf_counter()
    with _screen() as monitor:
        from medtrim.experiments.config import PipelineConfig, TableSource
        from medtrim.experiments.pipeline import run_pipeline

        source = TableSource(
            path=studies,
            columns=dict(_pair(c, "--column FIELD=COLUMN") for c in column or ()),
            image_root=image_root,
            layout=layout,
            patients=patients,
            encoding=encoding,
            fractions=_fractions(split),
        )
        config = PipelineConfig(
            source=source,
            methods=_names(methods),
            seed=seed,
            recipe=recipe,
            settings=_settings(settings),
            steps=steps,
            epochs=epochs,
            batch=batch,
            image_size=size,
            save_every=save_every,
            resamples=resamples,
            jobs=jobs,
        )
        if not studies.exists():
            raise ConfigError(f"{studies} does not exist")
        _clear(output, fresh)
        result = run_pipeline(config, output, monitor=monitor, command=_command())
    _summary(result, time.perf_counter() - started)
    if strict and result.results.corpus.rejects:
        raise typer.Exit(1)


class Screen:
    """A line a stage: live bars on a terminal, plain lines elsewhere."""

    def __init__(self, bar: Progress | None) -> None:
        self.bar = bar
        self.tasks: dict[str, Any] = {}
        self.titles: dict[str, str] = {}
        self.said: dict[str, float] = {}

    def begin(self, stage: str, title: str) -> None:
        """See `medtrim.experiments.monitor.Monitor`."""
        self.titles[stage] = title
        if self.bar is not None:
            self.tasks[stage] = self.bar.add_task(title, total=None, note="")
        else:
            err.print(f"{title} …", markup=False)
            self.said[stage] = time.monotonic()

    def update(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `medtrim.experiments.monitor.Monitor`."""
        if self.bar is not None:
            self.bar.update(self.tasks[stage], completed=done, total=total or None, note=note)
        elif time.monotonic() - self.said[stage] >= 5:
            self.said[stage] = time.monotonic()
            err.print(f"{self.titles[stage]}: {done:,} of {total:,} {note}".rstrip(), markup=False)

    def end(self, stage: str, title: str, seconds: float, *, reused: bool) -> None:
        """See `medtrim.experiments.monitor.Monitor`."""
        if self.bar is not None and stage in self.tasks:
            self.bar.remove_task(self.tasks.pop(stage))
        took = "done before" if reused else f"{seconds:5.1f} s"
        err.print(f"[green]✓[/green] {escape(title):<24} {took}")


@contextmanager
def _screen() -> Iterator[Screen]:
    if not err.is_terminal:
        yield Screen(None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield Screen(bar)


def _summary(result: PipelineResult, seconds: float) -> None:
    from medtrim.experiments.remarks import remarks

    colours = {"gain": "green", "loss": "red", "caution": "yellow"}
    for remark in remarks(result.results):
        colour = colours.get(remark.kind, "default")
        out.print(f"[{colour}]•[/{colour}] ", end="")
        out.print(remark.text, markup=False)
        for item in remark.items:
            out.print(f"    {item}", markup=False)
    out.print(f"\n{seconds:.0f} s in all. Open [bold]{escape(str(result.report))}[/bold]")


def _names(methods: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in methods.split(",") if name.strip())


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise ConfigError(f"{form} expected, got {text!r}")
    return name, value


def _settings(words: list[str] | None) -> dict[str, Any]:
    from medtrim.types.yamlfile import load_yaml

    return {key: load_yaml(text, source=key) for key, text in (_pair(w, "--set KEY=VALUE") for w in words or ())}


def _fractions(text: str) -> dict[str, float]:
    try:
        return {name: float(share) for name, share in (_pair(p, "NAME=SHARE") for p in text.split(","))}
    except ValueError as error:
        raise ConfigError(f"--split takes shares such as train=0.7,val=0.1,test=0.2: {error}") from error


def _clear(folder: Path, fresh: bool) -> None:
    """Forget which stages are finished; what they made is replaced as they run again."""
    from medtrim.experiments.records import forget

    if fresh:
        forget(folder)


def _command() -> str:
    import shlex

    return shlex.join(["medtrim", *sys.argv[1:]])
