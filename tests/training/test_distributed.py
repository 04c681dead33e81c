"""Two gloo processes that share each batch do what one process does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from medtrim.training import read_metrics, train
from medtrim.training.record import plain_config
from medtrim.types.yamlfile import dump_yaml

CODE = """
import sys
from medtrim.training import load_config, train
train(load_config(sys.argv[1]), resume=len(sys.argv) > 2)
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_ranks(path, *words, count=2):
    port = str(free_port())
    processes = []
    for rank in range(count):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        command = [sys.executable, "-c", CODE, str(path), *words]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [p.communicate(timeout=300)[1] for p in processes]
    assert [p.returncode for p in processes] == [0] * count, "\n".join(errors)


@pytest.mark.parametrize(
    "objective",
    [
        "medtrim",
        pytest.param("medtrim-triplet", marks=pytest.mark.slow),
        pytest.param("gloria", marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_losses_and_weights_of_one(recipe, corpus_folder, tmp_path, objective):
    layers = {
        "objective": {"name": objective},
        "data": {"triplets": corpus_folder / "triplets.parquet", "cache": tmp_path / "cache"},
        "augment": {"noise": 0.0},  # the one thing that each rank draws for itself
        "steps": 4,
        "log_every": 1,
    }
    one = train(recipe(layers, {"out": tmp_path / "one"}))
    config = recipe(layers, {"out": tmp_path / "two", "save_every": 2})
    (tmp_path / "two.yaml").write_text(dump_yaml(plain_config(config)))
    run_ranks(tmp_path / "two.yaml")
    ours, theirs = read_metrics(config.out / "metrics.jsonl"), read_metrics(one.metrics)
    assert [line["step"] for line in ours] == [1, 2, 3, 4]
    for mine, other in zip(ours, theirs, strict=True):
        for key in (k for k in other if k.startswith("loss")):
            assert mine[key] == pytest.approx(other[key], rel=2e-4, abs=1e-5), (key, mine["step"])
    two = load_file(config.out / "model" / "model.safetensors")
    for name, value in load_file(one.checkpoint / "model.safetensors").items():
        if name.endswith("key.bias"):
            continue  # cancels in the softmax: AdamW scales its gradient, rounding noise, up to full steps
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    state = config.out / "checkpoints" / "step-00000004" / "state"
    assert {p.name for p in state.glob("rng-*")} == {"rng-0.safetensors", "rng-1.safetensors"}
