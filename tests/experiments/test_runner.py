from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from medtrim.experiments.runner import ERROR, RESULT, Job, Snapshot, run_jobs
from medtrim.types.jsonfile import read_json, write_json


def job(folder: Path, body: str, title: str = "") -> Job:
    """A job whose command runs `body` with `here` as its folder."""
    script = (
        f"import json, os, sys, time\nfrom pathlib import Path\nhere = Path({str(folder)!r})\n"
        + textwrap.dedent(body)
    )
    return Job(title or folder.name, folder, (sys.executable, "-c", script))


FINISH = "(here / 'result.json').write_text(json.dumps({'seconds': 1.5}))\n"


def test_outcomes_come_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    jobs = [job(tmp_path / "slow", "time.sleep(0.4)\n" + FINISH), job(tmp_path / "fast", FINISH)]
    outcomes = run_jobs(jobs, slots=2, poll=0.02)
    assert [o.state for o in outcomes] == ["done", "done"]
    assert [o.job.title for o in outcomes] == ["slow", "fast"]


def test_a_failure_is_recorded_and_stops_no_other(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path / "bad", "print('before')\nsys.exit('it broke here')"),
        job(tmp_path / "silent", "pass"),
        job(tmp_path / "good", FINISH),
    ]
    bad, silent, good = run_jobs(jobs, slots=1, poll=0.02)
    assert bad.state == "failed"
    assert bad.error == "it broke here"
    assert read_json(jobs[0].folder / ERROR) == {
        "exit_code": 1,
        "error": "it broke here",
        "log": ["before", "it broke here"],
    }
    assert silent.state == "failed"
    assert "without a result" in silent.error
    assert good.state == "done"


def test_finished_jobs_are_skipped_and_failed_ones_tried_again(tmp_path: Path) -> None:
    count = "n = here / 'count'\nn.write_text(n.read_text() + 'x' if n.exists() else 'x')\n"
    done, flaky = job(tmp_path / "done", count + FINISH), job(tmp_path / "flaky", count + "sys.exit(3)")
    run_jobs([done, flaky], slots=2, poll=0.02)
    mended = job(tmp_path / "flaky", count + FINISH)
    first, second = run_jobs([done, mended], slots=2, poll=0.02)
    assert (first.state, first.seconds) == ("skipped", 1.5)
    assert second.state == "done"
    assert (tmp_path / "done" / "count").read_text() == "x"
    assert (tmp_path / "flaky" / "count").read_text() == "xx"
    assert not (tmp_path / "flaky" / ERROR).exists()


def test_no_more_run_side_by_side_than_there_are_slots(tmp_path: Path) -> None:
    seen: list[Snapshot] = []
    until_told = "while not (here.parent / 'go').exists(): time.sleep(0.01)\n"
    jobs = [job(tmp_path / str(i), until_told + FINISH) for i in range(4)]

    def watch(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        if len(snapshot.running) >= 2:
            (tmp_path / "go").touch()

    run_jobs(jobs, slots=2, watch=watch, poll=0.02)
    assert max(len(s.running) for s in seen) == 2
    assert all(len({r.slot for r in s.running}) == len(s.running) for s in seen)
    assert (seen[-1].finished, seen[-1].total, seen[-1].running) == (4, 4, ())


def test_progress_is_what_the_job_wrote_last(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    said = "{'stage': 'training', 'done': 3, 'total': 9}"
    until_seen = "while not (here / 'seen').exists(): time.sleep(0.01)\n"
    body = f"(here / 'progress.json').write_text(json.dumps({said}))\n{until_seen}"

    def watch(snapshot: Snapshot) -> None:
        seen.extend((r.stage, r.done, r.total) for r in snapshot.running)
        if ("training", 3, 9) in seen or len(seen) > 5000:
            (tmp_path / "a" / "seen").touch()

    run_jobs([job(tmp_path / "a", body + FINISH)], slots=1, watch=watch, poll=0.02)
    assert ("training", 3, 9) in seen


def test_jobs_are_limited_to_their_threads(tmp_path: Path) -> None:
    body = "(here / 'threads').write_text(os.environ['OMP_NUM_THREADS'])\n"
    run_jobs([job(tmp_path / "a", body + FINISH)], slots=1, threads=3, poll=0.02)
    assert (tmp_path / "a" / "threads").read_text() == "3"


def test_an_interrupt_ends_what_is_running(tmp_path: Path) -> None:
    def interrupt(snapshot: Snapshot) -> None:
        if any((r.job.folder / "pid").exists() for r in snapshot.running):
            raise KeyboardInterrupt

    body = "p = here / 'pid.part'\np.write_text(str(os.getpid()))\np.rename(here / 'pid')\ntime.sleep(60)\n"
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(tmp_path / "a", body)], slots=1, watch=interrupt, poll=0.02)
    pid = int((tmp_path / "a" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_job_names_the_signal(tmp_path: Path) -> None:
    outcome = run_jobs([job(tmp_path / "a", "os.kill(os.getpid(), 9)")], slots=1, poll=0.02)[0]
    assert outcome.state == "failed"
    assert "SIGKILL" in outcome.error


def test_half_written_json_reads_as_empty(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    assert read_json(tmp_path / "half.json") == {}
    write_json(tmp_path / "whole.json", {"a": 1})
    assert json.loads((tmp_path / "whole.json").read_text()) == {"a": 1}
    assert not (tmp_path / RESULT).exists()
