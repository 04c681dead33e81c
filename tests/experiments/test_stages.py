from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.monitor import Silent
from medtrim.experiments.records import forget
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


def test_missing_files_run_it_again(tmp_path: Path) -> None:
    runs: list[int] = []
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    (tmp_path / "corpus" / "studies.txt").unlink()
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert len(runs) == 2


def test_what_no_record_shows_to_be_ours_is_refused_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "corpus" / "studies.csv"
    file.parent.mkdir()
    file.write_text("mine")
    runs: list[int] = []
    with pytest.raises(ConfigError, match=r"corpus is there .* choose another folder"):
        StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert file.read_text() == "mine"
    assert runs == []
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "record", ["", "{", "[]", "{}", '{"key": "else", "finished": true}', '{"outputs": ["corpus"]}']
)
@pytest.mark.parametrize("output_is_there", [True, False])
def test_a_file_that_is_no_record_of_ours_is_refused_and_stays(
    tmp_path: Path, record: str, *, output_is_there: bool
) -> None:
    runs: list[int] = []
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "draw.json").write_text(record)
    if output_is_there:
        writer(tmp_path, [])()
    with pytest.raises(ConfigError, match=r"draw\.json is there .* choose another folder"):
        StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert (tmp_path / "state" / "draw.json").read_text() == record
    assert (tmp_path / "corpus" / "studies.txt").exists() == output_is_there
    assert runs == []


def test_the_record_of_another_stages_outputs_covers_no_other_file(tmp_path: Path) -> None:
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, []))
    (tmp_path / "cache").mkdir()
    more = replace(STAGE, inputs={}, outputs=(*STAGE.outputs, "cache"))
    with pytest.raises(ConfigError, match="cache is there"):
        StageBook(tmp_path, Silent()).run(more, writer(tmp_path, []))
    assert (tmp_path / "corpus" / "studies.txt").exists()


def test_the_record_is_written_before_the_stage_writes(tmp_path: Path) -> None:
    def work() -> None:
        record = json.loads((tmp_path / "state" / "draw.json").read_text())
        assert record == {"key": STAGE.key, "finished": False, "outputs": list(STAGE.outputs)}
        writer(tmp_path, [])()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        StageBook(tmp_path, Silent()).run(STAGE, work)
    runs: list[int] = []
    (tmp_path / "corpus" / "half.txt").write_text("of the killed run")
    StageBook(tmp_path, Silent()).run(replace(STAGE, inputs={"seed": 1}), writer(tmp_path, runs))
    assert runs == [1]
    assert not (tmp_path / "corpus" / "half.txt").exists()


def test_forgetting_runs_everything_again_and_touches_no_file_of_others(tmp_path: Path) -> None:
    runs: list[int] = []
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    (tmp_path / "corpus" / "old.txt").write_text("of the first run")
    (tmp_path / "state" / "mine.json").write_text('{"notes": 1}')
    (tmp_path / "triplets.parquet").write_text("mine")
    forget(tmp_path)
    assert (tmp_path / "corpus" / "old.txt").exists()
    StageBook(tmp_path, Silent()).run(STAGE, writer(tmp_path, runs))
    assert len(runs) == 2
    assert not (tmp_path / "corpus" / "old.txt").exists()
    assert (tmp_path / "state" / "mine.json").read_text() == '{"notes": 1}'
    assert (tmp_path / "triplets.parquet").read_text() == "mine"
    forget(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


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
