"""`medtrim demo | run`: the whole way, from studies to a report."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from medtrim.cli.console import out, pair, progress_bar, say, shares
from medtrim.cli.suite_progress import run_and_write
from medtrim.errors import ConfigError
from medtrim.types.settings import validated

if TYPE_CHECKING:
    from medtrim.experiments.demo import DemoOptions
    from medtrim.experiments.report.remarks import Remark
    from medtrim.experiments.results import SuiteResults

Methods = Annotated[
    str, typer.Option(help="Methods to compare, with commas between; the first is compared with the others.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any key of the recipe: optimizer.warmup=0.25. Repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run every stage again, whatever the folder holds.")]
DEFAULT_METHODS = "medtrim,clip"
# What to try on the search page of the demo's archive.
QUERY = "large left pleural effusion"


def register(app: typer.Typer) -> None:
    """Add `medtrim demo` and `medtrim run`."""
    app.command("demo")(demo)
    app.command("run")(run)


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the run; report.html goes there.")
    ] = Path("demo"),
    studies: Annotated[int, typer.Option("--studies", "-n", min=20, help="Phantoms to draw.")] = 6000,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each method.")] = 340,
    size: Annotated[int, typer.Option(min=32, help="Side of the training images, pixels.")] = 64,
    methods: Methods = DEFAULT_METHODS,
    settings: Settings = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> None:
    """Draw chest X-rays, read their reports, train MedTrim and CLIP alike, compare them, write a report."""
    from medtrim.experiments.demo import DemoOptions
    from medtrim.experiments.schema import PhantomData

    options = DemoOptions(
        data=validated(PhantomData, {"studies": studies, "size": 128, "seed": seed}),
        methods=_names(methods),
        seed=seed,
        settings=_settings(settings),
        steps=steps,
        image_size=size,
    )
    _run_and_report(options, output, fresh=fresh)


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
    layout: Annotated[str, typer.Option(help="auto, or a layout of `medtrim data import`.")] = "auto",
    patients: Annotated[
        str, typer.Option(help="required; or study: every study is a patient of its own.")
    ] = "required",
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    split: Annotated[
        str,
        typer.Option(
            help="Shares of patients without a split, such as train=.8,test=.2.",
            show_default="train 0.7, val 0.1, test 0.2",
        ),
    ] = "train=0.7,val=0.1,test=0.2",
    methods: Methods = DEFAULT_METHODS,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Training recipe: pretrained-cpu, tiny-cpu, paper, single-gpu, or a YAML file. Without it "
            "pretrained-cpu for a table of under 20,000 studies, where the extra `encoders` is installed."
        ),
    ] = None,
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
    from medtrim.experiments.demo import DemoOptions, default_recipe
    from medtrim.experiments.schema import DataSection

    if not studies.exists():
        raise ConfigError(f"{studies} does not exist")
    if recipe is None:
        recipe, reason = default_recipe(studies, encoding=encoding)
        say(f"recipe {recipe}: {reason}")
    data = {
        "name": studies.name,
        "studies": studies,
        "columns": dict(pair(c, "--column FIELD=COLUMN") for c in column or ()),
        "image_root": image_root,
        "layout": layout,
        "patients": patients,
        "encoding": encoding,
        "fractions": shares(split),
    }
    options = DemoOptions(
        data=validated(DataSection, data),
        methods=_names(methods),
        seed=seed,
        recipe=recipe,
        settings=_settings(settings),
        steps=steps,
        epochs=epochs,
        batch=batch,
        image_size=size,
        resamples=resamples,
        save_every=save_every,
        jobs=jobs,
    )
    results = _run_and_report(options, output, fresh=fresh)
    if strict and results.facts["corpus"]["rejects"]:
        raise typer.Exit(1)


def _run_and_report(options: DemoOptions, output: Path, *, fresh: bool) -> SuiteResults:
    """Run the suite of `options` in `output`, write its page, print the summary."""
    from medtrim.experiments.demo import build_demo_index, demo_suite
    from medtrim.experiments.report.remarks import remarks
    from medtrim.experiments.run_suite import forget

    started = time.perf_counter()
    suite = demo_suite(options)
    if fresh:
        forget(output)
    done, results, page = run_and_write(suite, output, command=shlex.join(["medtrim", *sys.argv[1:]]))
    with progress_bar("search index") as progress:
        index = build_demo_index(done, progress=progress)
    _print_remarks(remarks(results))
    out.print(
        f"\n{time.perf_counter() - started:.0f} s in all. Open [bold]{escape(str(page))}[/bold]", soft_wrap=True
    )
    if index is not None:
        command = escape(shlex.join(["medtrim", "serve", str(index)]))
        out.print(f"Search the test studies: [bold]{command}[/bold] and try “{QUERY}”", soft_wrap=True)
    if done.failures:
        raise typer.Exit(1)
    return results


def _print_remarks(found: Sequence[Remark]) -> None:
    colours = {"gain": "green", "loss": "red", "caution": "yellow"}
    for remark in found:
        colour = colours.get(remark.kind, "default")
        out.print(f"[{colour}]•[/{colour}] ", end="")
        out.print(remark.text, markup=False)
        for item in remark.items:
            out.print(f"    {item}", markup=False)


def _names(methods: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in methods.split(",") if name.strip())


def _settings(words: list[str] | None) -> dict[str, Any]:
    from medtrim.types.yamlfile import load_yaml

    return {key: load_yaml(text, source=key) for key, text in (pair(w, "--set KEY=VALUE") for w in words or ())}
