"""Shared fixtures: where the reference data lies, or a skip that says so; a Python of another hash seed.

Property tests run on the same examples every time; `--hypothesis-profile thorough` looks for new ones.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# Consoles take their width when they are made, that is when the first test imports the command line.
os.environ["COLUMNS"] = "300"
# Test processes share the cores: one thread each, and the threads that a test asks for wait without burning time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A busy machine is no fault of a test: how fast examples are drawn is not judged.
NO_HURRY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **NO_HURRY)
settings.register_profile("thorough", max_examples=3000, print_blob=True, **NO_HURRY)
settings.load_profile("repeatable")


@pytest.hookimpl(trylast=True)  # the profile that the command line names is loaded by then
def pytest_configure() -> None:
    """Hypothesis also draws constants of the modules imported so far, which depend on the tests that ran before."""
    if settings.default.derandomize:
        providers.is_local_module_file = lambda path: False


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data: $MEDTRIM_SHARED, or ../shared beside the checkout; skips without either."""
    named = os.environ.get("MEDTRIM_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no reference data: set MEDTRIM_SHARED to its folder")
    return folder


def pytest_collection_finish() -> None:
    """What was imported stays to the end: every collection of garbage would walk it again."""
    gc.collect()
    gc.freeze()


# Runs each program that it is sent, in one process, so that programs share what they import.
OTHER_PYTHON = """
import contextlib, io, json, sys
for line in sys.stdin:
    program, *arguments = json.loads(line)
    sys.argv = ["-c", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(program, {"__name__": "__main__"})
    print(json.dumps(said.getvalue()), flush=True)
"""
RunElsewhere = Callable[..., str]


@pytest.fixture(scope="session")
def under_another_hash_seed() -> Iterator[RunElsewhere]:
    """Runs `program` with `arguments` in a Python of another hash seed than ours and gives what it printed."""
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    command = [sys.executable, "-c", OTHER_PYTHON]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        requests, answers = other.stdin, other.stdout

        def run(program: str, *arguments: str) -> str:
            requests.write(json.dumps([program, *arguments]) + "\n")
            requests.flush()
            answer = answers.readline()
            assert answer, "the program failed; its error is above"
            return json.loads(answer)

        yield run
        requests.close()
