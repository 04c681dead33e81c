"""A run that is cut off and resumed ends with the very bits of the run that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from medtrim.errors import TrainingError
from medtrim.training import read_metrics, train
from medtrim.training.checkpoints import check_resumable, checkpoint_path, find_checkpoint
from medtrim.training.record import plain_config
from medtrim.types.yamlfile import dump_yaml

# Dropout, accumulation, a moving average, two optimizers, every augmentation: all that could remember something.
DEMANDING = {
    "model": {"text_config": {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.1}},
    "optimizer": {"ema": 0.9, "layer_decay": 0.9, "matrices": "muon"},
    "augment": {"gamma": 0.1, "blur": 0.8},
    "batch": {"accumulate": 2, "size": 8},
    "steps": 8,
    "save_every": 2,
    "log_every": 3,
}
TIMES = {"seconds", "studies_per_second"}


class CutError(Exception):
    pass


def cut_after(step):
    def progress(done, total):
        if done == step:
            raise CutError

    return progress


def weights(result):
    return load_file(result.checkpoint / "model.safetensors")


def assert_equal_bits(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


@pytest.fixture(scope="module")
def whole(recipe_in, tmp_path_factory):
    return train(recipe_in(tmp_path_factory.mktemp("whole"), DEMANDING))


@pytest.mark.parametrize("step", [1, 2, 5])
def test_resumed_weights_are_equal_bit_for_bit(recipe, whole, tmp_path, step):
    config = recipe(DEMANDING, {"out": tmp_path / "cut"})
    with pytest.raises(CutError):
        train(config, progress=cut_after(step))
    torch.manual_seed(99)  # a fresh process would have other random numbers too
    resumed = train(config, resume=True)
    assert resumed.resumed_from == step // 2 * 2 or step == 2
    assert_equal_bits(weights(resumed), weights(whole))
    ours, theirs = read_metrics(resumed.metrics), read_metrics(whole.metrics)
    # Checkpoints lie between two lines of the log: a line's means go on from before the cut.
    assert [line["step"] for line in theirs] == [1, 3, 6]
    assert [{k: v for k, v in line.items() if k not in TIMES} for line in ours] == [
        {k: v for k, v in line.items() if k not in TIMES} for line in theirs
    ]


def test_a_torn_checkpoint_is_named_and_the_one_before_it_used(recipe, whole, tmp_path):
    config = recipe(DEMANDING, {"out": tmp_path / "torn"})
    with pytest.raises(CutError):
        train(config, progress=cut_after(5))
    folder = config.out / "checkpoints"
    file = checkpoint_path(folder, 4) / "state" / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    resumed = train(config, resume=True)
    assert resumed.resumed_from == 2
    assert resumed.torn == ("step-00000004: state/optimizer.safetensors is damaged",)
    assert_equal_bits(weights(resumed), weights(whole))


def test_a_run_without_checkpoints_is_not_resumed_by_beginning_anew(recipe):
    kept = recipe({"steps": 2, "save_every": 0})
    check_resumable(kept)
    with pytest.raises(CutError):
        train(kept, progress=cut_after(1))
    with pytest.raises(TrainingError, match="save_every is 0"):
        check_resumable(kept)
    check_resumable(recipe({"steps": 2, "save_every": 2}))
    train(kept, resume=True)
    with pytest.raises(TrainingError, match="holds a trained model"):
        check_resumable(recipe({"steps": 4, "save_every": 2}))


def test_a_run_whose_recipe_has_changed_is_not_resumed(recipe):
    begun = {"steps": 4, "save_every": 2}
    with pytest.raises(CutError):
        train(recipe(begun), progress=cut_after(3))
    written = (recipe(begun).out / "config.yaml").read_text()
    for change, key in (
        ({"optimizer": {"learning_rate": 1e-3}}, "optimizer.learning_rate (was 0.003, now 0.001)"),
        ({"steps": 6}, "steps (was 4, now 6)"),
        ({"epochs": 2.0}, "epochs"),
        ({"model": {"vision_config": {"depths": [0, 1, 1, 2]}}}, "model.vision_config.depths"),
        ({"objective": {"options": {"contradiction": 1.0}}}, "objective.options"),
    ):
        with pytest.raises(TrainingError) as refused:
            train(recipe(begun, change), resume=True)
        assert key in str(refused.value)
    assert (recipe(begun).out / "config.yaml").read_text() == written
    free = {"log_every": 1, "save_every": 1, "keep": 1, "batch": {"chunk": 6}, "data": {"workers": 2}}
    assert train(recipe(begun, free), resume=True).resumed_from == 2


def test_what_is_wrong_with_a_torn_checkpoint(recipe):
    config = recipe({"steps": 2, "save_every": 2})
    train(config)
    path = checkpoint_path(config.out / "checkpoints", 2)
    assert find_checkpoint(path.parent).path == path
    (path / "model.safetensors").unlink()
    assert find_checkpoint(path.parent).torn == ("step-00000002: model.safetensors is missing",)
    (path / "manifest.json").write_text("{")
    assert find_checkpoint(path.parent).torn == ("step-00000002: its manifest is missing or unreadable",)


def test_checkpoints_hold_no_pickle_and_only_the_newest_stay(recipe):
    config = recipe({"steps": 6, "save_every": 2, "keep": 2})
    train(config)
    folder = config.out / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["step-00000004", "step-00000006"]
    kinds = {p.suffix for p in folder.rglob("*") if p.is_file()}
    assert kinds == {".json", ".safetensors"}


def test_a_full_disk_stops_the_run_and_leaves_the_last_good_checkpoint(recipe, monkeypatch):
    config = recipe({"steps": 6, "save_every": 2})
    from medtrim.training import checkpoints

    real = checkpoints.save_tensors

    def full(tensors, path):
        if "step-00000004" in str(path):
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_tensors", full)
    with pytest.raises(
        TrainingError, match=r"step 4 cannot be written .*No space left.*last good one is step-00000002"
    ):
        train(config)
    assert sorted(p.name for p in (config.out / "checkpoints").iterdir()) == ["step-00000002"]


def test_a_folder_with_a_run_is_not_overwritten(recipe):
    config = recipe({"steps": 1})
    train(config)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(config)


def test_resuming_a_run_that_never_saved_starts_it(recipe):
    config = recipe({"steps": 2})
    assert train(config, resume=True).resumed_from == 0


@pytest.mark.slow
def test_killed_at_ten_random_moments(recipe, tmp_path):
    """SIGKILL a process at random, ten times over, resuming each time: the weights come out bit for bit equal."""
    long = {**DEMANDING, "steps": 500, "save_every": 2}
    reference = weights(train(recipe(long, {"out": tmp_path / "whole"})))
    config = recipe(long, {"out": tmp_path / "killed"})
    (tmp_path / "killed.yaml").write_text(dump_yaml(plain_config(config)))
    code = "import sys; from medtrim.training import *; train(load_config(sys.argv[1]), resume=True)"
    command = [sys.executable, "-c", code, str(tmp_path / "killed.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder, draw, reached = config.out / "checkpoints", random.Random(0), [0]
    for _ in range(10):
        process = subprocess.Popen(command, env=environment)
        # However slow the machine is, a life goes on until it has got further than the last one, and then a little.
        while process.poll() is None and newest(folder) <= reached[-1]:
            time.sleep(0.02)
        with pytest.raises(subprocess.TimeoutExpired):  # it must not have finished
            process.wait(timeout=draw.uniform(0.0, 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached.append(find_checkpoint(folder).step)
    assert reached == sorted(set(reached)), "each life went on from the one before"
    subprocess.run(command, env=environment, check=True)
    assert_equal_bits(load_file(config.out / "model" / "model.safetensors"), reference)


def newest(folder):
    return max((int(p.name.removeprefix("step-")) for p in folder.glob("step-*")), default=0)
