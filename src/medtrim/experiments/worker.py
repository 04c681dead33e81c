"""The process of one run: `python -m medtrim.experiments.worker FOLDER` does what FOLDER/run.json says."""

from __future__ import annotations

import sys
from pathlib import Path

from medtrim.errors import MedTrimError
from medtrim.experiments.runner import RESULT, Reporter
from medtrim.types.jsonfile import read_json, write_json
from medtrim.types.processes import end_with_parent

TASK = "run.json"


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
