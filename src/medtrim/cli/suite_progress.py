"""The progress of a suite of runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from medtrim.cli.console import err, progress_bar

if TYPE_CHECKING:
    from medtrim.experiments.results import SuiteResults
    from medtrim.experiments.run_suite import SuiteRun
    from medtrim.experiments.runner import Snapshot
    from medtrim.experiments.schema import Suite
    from medtrim.types.tables import Progress as ProgressCall

# Seconds between two lines about one run, where there is no terminal.
LINE_EVERY = 5.0


class SuiteProgress:
    """One bar a stage while the corpus is made, then one for all runs and one for each run in progress."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.tasks: dict[object, Any] = {}
        self.printed: set[str] = set()
        self.last: dict[str, float] = {}

    def stage(self, name: str) -> ProgressCall:
        """The progress call of a stage of the preparation."""
        self._print_once(name)

        def progress(done: int, total: int) -> None:
            self._update(name, name, done, total)

        return progress

    def runs(self, phase: str, snapshot: Snapshot) -> None:
        """Show where the runs are."""
        failed = f", {snapshot.failed} failed" if snapshot.failed else ""
        self._update(phase, f"{phase}{failed}", snapshot.finished, snapshot.total)
        busy = {running.slot: running for running in snapshot.running}
        for key in [k for k in self.tasks if isinstance(k, int) and k not in busy]:
            self.bar.remove_task(self.tasks.pop(key))
        for slot, running in busy.items():
            title = f"{running.job.title}: {running.stage}"
            self._update(slot, f"  {title} {running.note}".rstrip(), running.done, running.total)
            self._print_once(title)
            if running.done:
                self._print_now_and_then(title, f"{running.done:,} of {running.total:,} {running.note}".rstrip())
        self._print_once(f"{phase}: {snapshot.finished} of {snapshot.total} finished{failed}")

    def _print_once(self, line: str) -> None:
        if not err.is_terminal and line not in self.printed:
            self.printed.add(line)
            self.last[line] = time.monotonic()
            err.print(line, markup=False)

    def _print_now_and_then(self, title: str, state: str) -> None:
        if not err.is_terminal and time.monotonic() - self.last[title] >= LINE_EVERY:
            self.last[title] = time.monotonic()
            err.print(f"{title}: {state}", markup=False)

    def _update(self, key: object, text: str, done: int, total: int) -> None:
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(text, total=None)
        self.bar.update(self.tasks[key], description=text, completed=done, total=total or None)


@contextmanager
def suite_progress() -> Iterator[SuiteProgress]:
    """Show progress on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        yield SuiteProgress(bar)


def run_and_write(suite: Suite, output: Path, *, command: str = "") -> tuple[SuiteRun, SuiteResults, Path]:
    """Run what is not finished of `suite`, name the runs that failed, and write results and page.

    Args:
        command: how the run was started, for the page.
    """
    from medtrim.experiments.report.page import write_page
    from medtrim.experiments.results import gather, write_results
    from medtrim.experiments.run_suite import Callbacks, run_suite

    with suite_progress() as shown:
        done = run_suite(suite, output, callbacks=Callbacks(stage=shown.stage, runs=shown.runs))
    for failure in done.failures:
        err.print(f"[red]failed:[/red] {escape(failure.job.title)}: ", end="")
        err.print(failure.error, markup=False)
    results = gather(done)
    write_results(results, output)
    with progress_bar("page") as progress:
        page = write_page(results, done, output, command=command, progress=progress)
    return done, results, page
