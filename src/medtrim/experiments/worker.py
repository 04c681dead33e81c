"""The process of one run: `python -m medtrim.experiments.worker FOLDER` does what FOLDER/run.json says."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from medtrim.errors import MedTrimError
from medtrim.experiments.runner import PROGRESS, RESULT
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.processes import end_with_parent
from medtrim.types.tables import Progress

TASK = "run.json"
# Seconds between two writes of the progress file.
EVERY = 0.5


class Reporter:
    """Writes what the run is doing into its folder, at most every `EVERY` seconds.

    `note` is a few words that go with the progress, such as the loss.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self.last = 0.0
        self.note = ""

    def __call__(self, stage: str) -> Progress:
        """The progress call of a stage."""

        def progress(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self.last >= EVERY or not done:
                self.last = now
                write_json(self.path, {"stage": stage, "done": done, "total": total, "note": self.note})

        return progress


def main(arguments: list[str]) -> int:
    """Run the task of the folder named; the last line on standard error says what went wrong."""
    folder = Path(arguments[0])
    report = Reporter(folder)
    report("loading")(0, 0)
    from medtrim.experiments.execute import RunTask, execute

    try:
        result = execute(RunTask.from_dict(read_json(folder / TASK)), folder, report)
    except MedTrimError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    write_json(folder / RESULT, result)
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1:]))
