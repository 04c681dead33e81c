"""Training steps: studies encoded once, against the published step, at the same backbones and data.

The published step is rebuilt plainly: for T triplets three image passes and three text passes of T each (anchor,
positive, negative), reports padded to 128 tokens, float16 autocast with a gradient scaler on a GPU. Ours encodes
the distinct studies of a batch once, padded to the longest report of a group, and takes every triplet within it.
Both take triplets from one table mined as published, both update with AdamW. Each variant runs in a process of its
own, so that its peak memory is its own.

    python benchmarks/bench_training.py [--size 64] [--steps 8] [--model tiny|vit-small|vit-base] [--device cuda]

A published step of 64 triplets at `vit-base` is 192 image and text passes, many minutes of a core; `--published 2`
measures a short one, whose triplets/s on a CPU are about those of a long one (its memory is not).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from medtrim.data.phantom import make_corpus
from medtrim.entities import Recognizer
from medtrim.mining.pool import mine_pools
from medtrim.mining.pool_config import PoolConfig
from medtrim.mining.similarity import ScoreConfig, encode_studies
from medtrim.models import encode_images, encode_texts, to_pixel_values
from medtrim.objectives import ObjectiveInputs, build_objective
from medtrim.training import build_config
from medtrim.training.optimizer import build_optimizer
from medtrim.training.prepare import PreparedRun, prepare_run
from medtrim.types import Provenance
from medtrim.types.tables import annotations_to_table, read_studies, write_table

VARIANTS = ("published", "ours")
PUBLISHED_TOKENS = 128
MODELS: dict[str, dict[str, Any]] = {
    "tiny": {"max_tokens": 128},
    "vit-small": {
        "image_size": 112,
        "max_tokens": 128,
        "vision_config": {
            "model_type": "vit",
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
        },
        "text_config": {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4},
    },
    "vit-base": {
        "image_size": 224,
        "max_tokens": 128,
        "projection_dim": 512,
        "vision_config": {"model_type": "vit", "hidden_act": "gelu", "initializer_range": 0.02},
        "text_config": {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "hidden_act": "gelu",
        },
    },
}
for sizes in (MODELS["vit-small"], MODELS["vit-base"]):
    vision = sizes["vision_config"]
    vision.setdefault("patch_size", 16)
    vision.setdefault("intermediate_size", 4 * vision.get("hidden_size", 768))


def make_data(folder: Path, studies: int, seed: int) -> None:
    """A phantom corpus with annotations and triplets mined as published."""
    make_corpus(studies, folder, seed=seed, size=128)
    records = read_studies(folder / "studies.parquet")
    recognizer = Recognizer()
    annotations = [recognizer.annotate(s) for s in records if s.split == "train"]
    encoded = encode_studies(annotations, ScoreConfig())
    pool = PoolConfig(iterations=studies // 4, pool_size=min(512, len(encoded)))
    mined = mine_pools(encoded, pool, np.random.default_rng(seed))
    provenance = Provenance(kind="benchmark", seed=seed)
    write_table(annotations_to_table(annotations), folder / "annotations.parquet", provenance)
    write_table(mined.to_table(encoded.study_ids), folder / "triplets.parquet", provenance)


def prepare(args: argparse.Namespace) -> PreparedRun:
    """Model, data and batches, the same for both variants."""
    folder = Path(args.data)
    return prepare_run(
        build_config(
            {"recipe": "tiny-cpu"},
            {
                "data": {name: folder / f"{name}.parquet" for name in ("studies", "annotations", "triplets")},
                "out": folder / "run",
                "model": MODELS[args.model],
                "objective": {"name": "medtrim-triplet"},
                "batch": {"size": args.size, "sampler": "triplets", "length_groups": args.length_groups},
                "augment": dict.fromkeys(("rotate", "translate", "scale", "contrast", "brightness", "noise"), 0),
            },
        )
    )


def published_step(run: PreparedRun, args: argparse.Namespace) -> Callable[[int], int]:
    """Three passes a modality over `published` triplets."""
    size = args.published or args.size
    objective = build_objective("medtrim-triplet")
    optimizer = build_optimizer(run.module, build_config_optimizer())
    model, device = run.bundle.model, torch.device(args.device)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    triplets = run.corpus.triplets
    assert triplets is not None
    tokens = run.dataset.tokens

    def step(index: int) -> int:
        rows = triplets[(np.arange(size) + index * size) % len(triplets)]
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.float16, enabled=device.type == "cuda"):
            image, text = [], []
            for role in range(3):
                studies = rows[:, role]
                pixels = torch.from_numpy(run.corpus.cache[run.corpus.image_rows[studies]]).to(device)
                ids = tokens.batch(studies, width=max(PUBLISHED_TOKENS, int(tokens.lengths.max()))).to(device)
                ids = ids[:, :PUBLISHED_TOKENS]
                mask = torch.arange(ids.shape[1]) < torch.from_numpy(tokens.lengths[studies])[:, None]
                image.append(encode_images(model, to_pixel_values(pixels, run.bundle.image_processor)).projected)
                text.append(encode_texts(model, ids, mask.long().to(device)).projected)
            position = torch.arange(size, device=device)
            inputs = ObjectiveInputs(
                image=torch.cat(image),
                text=torch.cat(text),
                log_scale=model.logit_scale,
                triplets=torch.stack([position + role * size for role in range(3)], dim=1),
            )
            loss = objective(inputs).total
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return size

    return step


def our_step(run: PreparedRun, args: argparse.Namespace) -> Callable[[int], int]:
    """One pass over `size` distinct studies; every triplet of the table within them."""
    optimizer = build_optimizer(run.module, build_config_optimizer())
    device = torch.device(args.device)

    def step(index: int) -> int:
        batch = {name: value.to(device, non_blocking=True) for name, value in run.dataset[index].items()}
        optimizer.zero_grad()
        known = run.knowledge.of(run.plan.rows(index), device, index=index)
        assert known.triplets is not None
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            pixels = to_pixel_values(batch["images"], run.bundle.image_processor)
            encoded = run.module(pixels, batch["input_ids"], batch["attention_mask"])
        inputs = ObjectiveInputs(
            image=encoded["image"],
            text=encoded["text"],
            log_scale=run.bundle.model.logit_scale,
            triplets=known.triplets,
        )
        run.module.objective(inputs).total.backward()
        optimizer.step()
        return len(known.triplets)

    return step


def build_config_optimizer() -> Any:
    """AdamW as the paper has it."""
    config = build_config({"recipe": "paper"}, {"data": {"studies": "-", "triplets": "-"}, "out": "-"})
    return config.optimizer


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds and triplets a step, FLOPs of a step, peak memory of this process or its GPU."""
    torch.manual_seed(0)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    run = prepare(args)
    run.module.to(device).train()
    step = (published_step if args.variant == "published" else our_step)(run, args)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FlopCounterMode(display=False) as flops:
        step(0)
    step(1)
    seconds, counts = [], []
    for index in range(2, 2 + args.steps):
        started = time.perf_counter()
        counts.append(step(index))
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak * 1024
    total = flops.get_total_flops()
    return {
        "variant": args.variant,
        "seconds": statistics.median(seconds),
        "triplets": statistics.mean(counts),
        "triplets_per_second": sum(counts) / sum(seconds),
        "flops": total,
        "flops_per_second": total / statistics.median(seconds),
        "memory_mib": memory / 2**20,
    }


def matmul_ceiling(args: argparse.Namespace) -> float:
    """FLOP/s of a large matrix product on the device, in the precision of our step."""
    device = torch.device(args.device)
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def main() -> None:
    """Run both variants in processes of their own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="tiny")
    parser.add_argument(
        "--size", type=int, default=64, help="triplets (published) or distinct studies (ours) a step"
    )
    parser.add_argument("--published", type=int, default=0, help="triplets of the published step; 0: as --size")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--studies", type=int, default=800, help="size of the phantom corpus")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--length-groups", type=int, default=4)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        print(json.dumps(measure(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), args.studies, seed=0)
        results = {}
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--data", folder, "--variant", variant, *sys.argv[1:]]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[variant] = json.loads(told.strip().splitlines()[-1])
    ceiling = matmul_ceiling(args)
    print(f"{args.model}, {args.size} a step, {args.device}; matrix ceiling {ceiling / 1e9:,.0f} GFLOP/s")
    heads = ("s/step", "triplets", "triplets/s", "GFLOP/step", "of ceiling", "MiB")
    print("".join(f"{head:>{width}}" for head, width in zip(("", *heads), (10, 9, 10, 12, 12, 11, 8), strict=True)))
    for name, r in results.items():
        share = r["flops_per_second"] / ceiling
        print(
            f"{name:<10} {r['seconds']:>8.3f} {r['triplets']:>9.1f} {r['triplets_per_second']:>11.1f} "
            f"{r['flops'] / 1e9:>11.1f} {share:>10.0%} {r['memory_mib']:>7.0f}"
        )
    ratio = results["ours"]["triplets_per_second"] / results["published"]["triplets_per_second"]
    encoding = results["published"]["flops"] / results["ours"]["flops"]
    print(f"ours: {ratio:.1f} times the triplets/s; the published step does {encoding:.1f} times the arithmetic")


if __name__ == "__main__":
    main()
