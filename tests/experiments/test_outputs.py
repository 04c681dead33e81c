from __future__ import annotations

import json
from pathlib import Path

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.outputs import OUTPUTS, Outputs

FOREIGN = "is there and was not made by this run: choose another folder"


def test_names_are_listed_before_they_are_written(tmp_path: Path) -> None:
    Outputs(tmp_path).claim(["corpus", "runs/clip"])
    assert json.loads((tmp_path / OUTPUTS).read_text()) == {"outputs": ["corpus", "runs/clip"]}
    Outputs(tmp_path).claim(["report.html", "corpus"])
    assert Outputs(tmp_path).claimed == ("corpus", "runs/clip", "report.html")


def test_what_is_listed_is_removed_and_nothing_else(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    outputs.claim(["corpus", "report.html", "link"])
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "half.txt").write_text("of an interrupted run")
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("corpus", "report.html", "link", "link"):
        outputs.remove(name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", OUTPUTS]
    assert (tmp_path / "elsewhere" / "mine.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match=FOREIGN):
        outputs.remove("elsewhere")
    assert (tmp_path / "elsewhere" / "mine.txt").exists()


@pytest.mark.parametrize("link", [False, True])
def test_what_is_not_listed_is_refused_and_stays(tmp_path: Path, *, link: bool) -> None:
    if link:
        (tmp_path / "corpus").symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / "corpus").mkdir()
        (tmp_path / "corpus" / "studies.csv").write_text("mine")
    with pytest.raises(ConfigError, match=f"corpus {FOREIGN}"):
        Outputs(tmp_path).claim(["runs", "corpus"])
    assert [p.name for p in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"outputs": "corpus"}'])
def test_a_list_that_is_not_ours_is_refused_and_stays(tmp_path: Path, record: str) -> None:
    (tmp_path / OUTPUTS).write_text(record)
    with pytest.raises(ConfigError, match=f"{OUTPUTS} {FOREIGN}"):
        Outputs(tmp_path).claim(["corpus"])
    assert (tmp_path / OUTPUTS).read_text() == record


@pytest.mark.parametrize("name", ["corpus/images", "report.html", "runs/clip/model", OUTPUTS])
def test_a_source_inside_an_output_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"lies in .*which this run would write: choose another folder"):
        Outputs(tmp_path).check_source(tmp_path / name, ["corpus", "report.html", "runs/clip"])


def test_a_source_beside_the_outputs_is_allowed(tmp_path: Path) -> None:
    Outputs(tmp_path).check_source(tmp_path / "studies.csv", ["corpus", "report.html", "runs/clip"])
    Outputs(tmp_path).check_source(tmp_path / "runs" / "others", ["runs/clip"])
