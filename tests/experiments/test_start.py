"""Encoders that every method of a suite goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments import start as start_module
from medtrim.experiments.check import check_suite
from medtrim.experiments.load import build_suite
from medtrim.experiments.plan import make_spec
from medtrim.experiments.start import prepare_start
from medtrim.models import load_checkpoint
from medtrim.training import TrainConfig
from medtrim.types.tables import no_progress
from tests.experiments.conftest import tiny_values

START = {"phantom": {"studies": 20, "size": 64, "seed": 5}, "train": {"steps": 3}, "seed": 3}


def quiet(_: str) -> Any:
    return no_progress


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose start is trained, killed before the clean-up; tests copy it before they go on."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start_module, "shutil", SimpleNamespace(rmtree=killed))
        with pytest.raises(KeyboardInterrupt):
            prepare_start(build_suite({**tiny_values(), "start": START}), folder, stage=quiet)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `trained`; nothing is trained in it unless a test says so."""
    monkeypatch.setattr(start_module, "train", None)
    return shutil.copytree(trained, tmp_path / "trained")


def test_without_a_start_a_suite_stays_as_it_is(suite, tmp_path):
    assert prepare_start(suite, tmp_path, stage=quiet) is suite
    assert not list(tmp_path.iterdir())


def test_a_start_is_trained_once_and_every_run_goes_on_from_it(values, folder, monkeypatch):
    suite = build_suite({**values, "start": START})
    placed = prepare_start(suite, folder, stage=quiet)
    checkpoint = placed.train["model"]["checkpoint"]
    assert load_checkpoint(checkpoint).image_size == 64
    specs = [make_spec(placed, m, {}, 0, "test", {}) for m in suite.methods]
    assert {s.training["model"]["checkpoint"] for s in specs} == {checkpoint}
    assert suite.train == values["train"], "the suite itself names no path"

    begun: list[Path] = []
    monkeypatch.setattr(start_module, "train", lambda config, **_: begun.append(config.out))
    assert prepare_start(suite, folder, stage=quiet).train == placed.train
    assert not begun
    other = build_suite({**values, "start": {**START, "seed": 4}})
    another = prepare_start(other, folder, stage=quiet).train["model"]["checkpoint"]
    assert begun == [Path(another).parent]
    assert another != checkpoint


def test_a_run_depends_on_the_model_it_goes_on_from_and_not_on_where_it_lies(values, folder, tmp_path):
    placed = prepare_start(build_suite({**values, "start": START}), folder, stage=quiet)
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

    real = start_module.train

    def killed_after(steps: int) -> Any:
        def halted(config: TrainConfig, **options: Any) -> None:
            # The schedule is that of the whole run; what stops it comes from outside.
            def stop(done: int, total: int) -> None:
                if done == steps:
                    raise KeyboardInterrupt

            real(config, **{**options, "progress": stop})

        return halted

    monkeypatch.setattr(start_module, "_SAVE_EVERY", 1)
    monkeypatch.setattr(start_module, "train", killed_after(2))
    with pytest.raises(KeyboardInterrupt):
        prepare_start(suite, tmp_path, stage=quiet)
    monkeypatch.setattr(start_module, "make_corpus", None)  # the corpus is there already
    seen: list[int] = []

    def watched(config: TrainConfig, **options: Any) -> Any:
        return real(config, **{**options, "progress": lambda done, total: seen.append(done)})

    monkeypatch.setattr(start_module, "train", watched)
    assert load_checkpoint(prepare_start(suite, tmp_path, stage=quiet).train["model"]["checkpoint"])
    assert seen[0] > 1, "it went on from its checkpoint"


def test_a_start_whose_clean_up_was_interrupted_is_finished(values, folder):
    assert list(folder.glob("start-*/phantom"))
    placed = prepare_start(build_suite({**values, "start": START}), folder, stage=quiet)
    assert load_checkpoint(placed.train["model"]["checkpoint"])
    assert not list(folder.glob("start-*/phantom"))


def test_a_start_leaves_to_the_methods_what_needs_annotations(values, folder):
    thinned = {**values["train"], "batch": {"size": 8, "normals": 0.4}}
    suite = build_suite({**values, "train": thinned, "start": START})
    check_suite(suite)
    placed = prepare_start(suite, folder, stage=quiet)
    assert placed.train["batch"]["normals"] == 0.4
    assert load_checkpoint(placed.train["model"]["checkpoint"]), "the start is that of the suite without it"
    asks = {**START, "train": {"batch": {"normals": 0.4}}}
    with pytest.raises(ConfigError, match=r"start: .*needs data\.annotations"):
        check_suite(build_suite({**values, "start": asks}))


def test_a_start_that_could_not_be_fair_is_refused(values):
    with pytest.raises(ConfigError, match="studies that methods are evaluated on"):
        build_suite({**values, "start": {**START, "phantom": {"seed": 0}}})
    with pytest.raises(ConfigError, match=r"start\.objective medtrim needs annotations"):
        check_suite(build_suite({**values, "start": {**START, "objective": "medtrim"}}))
    with pytest.raises(ConfigError, match="no objective 'clop'"):
        check_suite(build_suite({**values, "start": {**START, "objective": "clop"}}))
    with pytest.raises(ConfigError, match="unknown key 'stepz'"):
        check_suite(build_suite({**values, "start": {**START, "train": {"stepz": 3}}}))
