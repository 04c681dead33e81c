"""Encoders that every method of a suite goes on from."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.suite import start as start_module
from medtrim.experiments.suite.check import check_suite
from medtrim.experiments.suite.load import build_suite
from medtrim.experiments.suite.plan import make_spec
from medtrim.experiments.suite.start import prepare_start
from medtrim.models import load_checkpoint
from medtrim.types.tables import no_progress

START = {"phantom": {"studies": 40, "size": 64, "seed": 5}, "train": {"steps": 2}, "seed": 3}


def quiet(_: str) -> Any:
    return no_progress


def test_without_a_start_a_suite_stays_as_it_is(suite, tmp_path):
    assert prepare_start(suite, tmp_path, stage=quiet) is suite
    assert not list(tmp_path.iterdir())


def test_a_start_is_trained_once_and_every_run_goes_on_from_it(values, tmp_path, monkeypatch):
    suite = build_suite({**values, "start": START})
    placed = prepare_start(suite, tmp_path, stage=quiet)
    checkpoint = placed.train["model"]["checkpoint"]
    assert load_checkpoint(checkpoint).image_size == 64
    specs = [make_spec(placed, m, {}, 0, "test", {}) for m in suite.methods]
    assert {s.training["model"]["checkpoint"] for s in specs} == {checkpoint}
    assert suite.train == values["train"], "the suite itself names no path"

    monkeypatch.setattr(start_module, "train", None)
    assert prepare_start(suite, tmp_path, stage=quiet).train == placed.train
    monkeypatch.undo()
    other = build_suite({**values, "start": {**START, "seed": 4}})
    assert prepare_start(other, tmp_path, stage=quiet).train["model"]["checkpoint"] != checkpoint


def test_a_run_depends_on_the_weights_it_goes_on_from_and_not_on_where_they_lie(values, tmp_path):
    placed = prepare_start(build_suite({**values, "start": START}), tmp_path / "a", stage=quiet)
    moved = tmp_path / "moved"
    shutil.copytree(placed.train["model"]["checkpoint"], moved)

    def digest(checkpoint: str | None) -> str:
        model = {"model": {"checkpoint": checkpoint}} if checkpoint else {}
        suite = build_suite({**values, "train": {**values["train"], **model}})
        return make_spec(suite, "clip", {}, 0, "test", {}).digest("corpus")

    first = digest(str(moved))
    assert first == digest(placed.train["model"]["checkpoint"]) != digest(None)
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert digest(str(moved)) != first


def test_a_start_that_was_interrupted_goes_on(values, tmp_path, monkeypatch):
    suite = build_suite({**values, "start": START})

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(start_module, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_start(suite, tmp_path, stage=quiet)
    monkeypatch.undo()
    monkeypatch.setattr(start_module, "make_corpus", None)  # the corpus is there already
    assert load_checkpoint(prepare_start(suite, tmp_path, stage=quiet).train["model"]["checkpoint"])


def test_a_start_that_could_not_be_fair_is_refused(values):
    with pytest.raises(ConfigError, match="studies that methods are judged on"):
        build_suite({**values, "start": {**START, "phantom": {"seed": 0}}})
    with pytest.raises(ConfigError, match=r"start\.objective medtrim needs annotations"):
        check_suite(build_suite({**values, "start": {**START, "objective": "medtrim"}}))
    with pytest.raises(ConfigError, match="no objective 'clop'"):
        check_suite(build_suite({**values, "start": {**START, "objective": "clop"}}))
    with pytest.raises(ConfigError, match="unknown key 'stepz'"):
        check_suite(build_suite({**values, "start": {**START, "train": {"stepz": 3}}}))
