from __future__ import annotations

from pathlib import Path

import pytest

from medtrim import errors
from medtrim.experiments.workers import Plan, _error, plan_jobs, run_chains

PLAN = Plan(slots=2, threads=1)


@pytest.mark.parametrize(
    ("tasks", "cores", "jobs", "plan"),
    [
        (2, 2, 0, Plan(2, 1)),
        (2, 8, 0, Plan(2, 4)),
        (3, 2, 0, Plan(2, 1)),
        (2, 8, 1, Plan(1, 8)),
        (1, 2, 0, Plan(1, 2)),
        (0, 2, 0, Plan(1, 2)),
        (5, 4, 9, Plan(5, 1)),
    ],
)
def test_cores_are_shared_out(tasks: int, cores: int, jobs: int, plan: Plan) -> None:
    assert plan_jobs(tasks, cores=cores, jobs=jobs) == plan


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    assert run_chains({"a": []}, plan=PLAN, logs=tmp_path) == {}


def test_a_task_that_raises_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    started: list[str] = []
    chain = [{"name": "bad", "kind": "juggle"}, {"name": "never", "kind": "juggle"}]
    with pytest.raises(errors.ConfigError, match="bad: unknown task 'juggle'; allowed: train, evaluate"):
        run_chains({"a": chain}, plan=PLAN, logs=tmp_path, on_start=started.append)
    assert started == ["bad"]


def test_a_process_that_dies_names_its_log(tmp_path: Path) -> None:
    with pytest.raises(errors.TrainingError, match=r"a: its process ended with code 1; see .*a\.log"):
        run_chains({"a": [{"name": "odd"}]}, plan=PLAN, logs=tmp_path)
    assert "KeyError" in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("TableError", errors.TableError), ("ImageError", errors.MedTrimError), ("Nonsense", errors.MedTrimError)],
)
def test_errors_keep_their_class(name: str, kind: type[Exception]) -> None:
    raised = _error("train-clip", {"type": name, "error": "study 's1': no"})
    assert type(raised) is kind
    assert str(raised) == "train-clip: study 's1': no"
