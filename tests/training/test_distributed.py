"""Two gloo processes that share each batch do what one process does."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from medtrim.training import read_metrics, train
from medtrim.training.record import plain_config
from medtrim.types.yamlfile import dump_yaml

# Imports once, opens the store where the ranks meet on a free port, and forks them.
CODE = """
import os, sys, traceback
from torch.distributed import TCPStore
from medtrim.training import load_config, train

path, count, resume = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
ranks = []
for rank in range(count):
    ranks.append(os.fork())
    if not ranks[-1]:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        try:
            train(load_config(path), resume=resume)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
sys.exit(any([os.waitpid(rank, 0)[1] for rank in ranks]))
"""


def run_ranks(path, *words, count=2):
    command = [sys.executable, "-c", CODE, str(path), str(count), *words]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


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
