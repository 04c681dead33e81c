from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medtrim.experiments.monitor import Silent
from medtrim.experiments.stages import Done, Stage, StageBook, digest

STAGE = Stage("draw", "draw phantoms", {"seed": 0, "n": 5}, ("corpus", "corpus/studies.txt"))


class Watch(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def begin(self, stage: str, title: str) -> None:
        self.events.append(("begin", stage))

    def end(self, stage: str, title: str, seconds: float, *, reused: bool) -> None:
        self.events.append(("reused" if reused else "end", stage))


def writer(folder: Path, runs: list[int]) -> Callable[[], dict[str, int]]:
    def work() -> dict[str, int]:
        runs.append(1)
        (folder / "corpus").mkdir(exist_ok=True)
        (folder / "corpus" / "studies.txt").write_text("x")
        return {"studies": 5}

    return work


def test_a_finished_stage_is_skipped(tmp_path: Path) -> None:
    runs: list[int] = []
    watch = Watch()
    first = StageBook(tmp_path, watch).run(STAGE, writer(tmp_path, runs))
    again = StageBook(tmp_path, watch).run(STAGE, writer(tmp_path, runs))
    assert len(runs) == 1
    assert (first.reused, again.reused) == (False, True)
    assert again.facts == {"studies": 5}
    assert again.key == first.key
    assert watch.events == [("begin", "draw"), ("end", "draw"), ("reused", "draw")]


@pytest.mark.parametrize("change", [{"seed": 1, "n": 5}, {"seed": 0, "n": 5, "more": []}, {"seed": "0", "n": 5}])
def test_other_inputs_run_it_again_and_sweep_first(tmp_path: Path, change: dict[str, object]) -> None:
    runs: list[int] = []
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    (tmp_path / "corpus" / "old.txt").write_text("of the other seed")
    StageBook(tmp_path, Silent()).run(replace(STAGE, inputs=change), writer(tmp_path, runs))
    assert len(runs) == 2
    assert not (tmp_path / "corpus" / "old.txt").exists()


@pytest.mark.parametrize("gone", ["corpus/studies.txt", "state/draw.json"])
def test_missing_files_run_it_again(tmp_path: Path, gone: str) -> None:
    runs: list[int] = []
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    (tmp_path / gone).unlink()
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert len(runs) == 2


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"key": "else", "finished": true}'])
def test_a_torn_record_runs_it_again(tmp_path: Path, torn: str) -> None:
    runs: list[int] = []
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    (tmp_path / "state" / "draw.json").write_text(torn)
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert len(runs) == 2


def test_a_stage_that_fails_is_not_finished_and_keeps_its_own_files(tmp_path: Path) -> None:
    def fail() -> None:
        (tmp_path / "corpus").mkdir()
        (tmp_path / "corpus" / "half.txt").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        StageBook(tmp_path, Silent()).run(STAGE, fail)
    assert json.loads((tmp_path / "state" / "draw.json").read_text())["finished"] is False
    runs: list[int] = []
    done: Done = StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert not done.reused
    assert (tmp_path / "corpus" / "half.txt").exists()


def test_keys_depend_on_name_and_inputs_not_on_their_order() -> None:
    assert replace(STAGE, inputs={"n": 5, "seed": 0}).key == STAGE.key
    assert replace(STAGE, name="other").key != STAGE.key
    assert replace(STAGE, title="other").key == STAGE.key


def test_digest_of_files_and_folders(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x")
    first = digest([file])
    file.write_text("y")
    assert digest([file]) != first
    folder = digest([tmp_path])
    (tmp_path / "b.csv").write_text("z")
    assert digest([tmp_path]) != folder
