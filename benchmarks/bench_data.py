"""Image cache: building it against a plain Pillow loop, and reading it warm.

    python benchmarks/bench_data.py [--images 128] [--side 2048] [--size 224] [--workers 2]

Aims: building at least as fast as the plain loop times the workers; 20,000 images of 224 px a second from a warm
cache. The source images are smooth noise, so that JPEG and PNG decode about as radiographs of that size do.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from medtrim.data import ImageCache
from medtrim.types import Study


def draw(folder: Path, count: int, side: int, suffix: str) -> list[Study]:
    """Images on disk; eight different ones, each under many names, so that drawing takes no time."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(8):
        coarse = Image.fromarray(rng.integers(0, 255, (side // 16, side // 16 - 9), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side - 144, side), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
        path = folder / f"source{suffix}"
        Image.fromarray(noisy).save(path)
        contents.append(path.read_bytes())
    for i in range(count):
        (folder / f"{i}{suffix}").write_bytes(contents[i % 8])
    return [Study(f"s{i}", f"p{i}", (f"{i}{suffix}",)) for i in range(count)]


@dataclass(frozen=True)
class Speed:
    """Images a second by the clock, and milliseconds of processor an image, which a busy machine distorts less."""

    rate: float
    milliseconds: float


def measure(work: Callable[[], object], count: int) -> Speed:
    """The speed of `work` on `count` images."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return Speed(count / clock, processor / count * 1e3)


def plain_loop(studies: list[Study], root: Path, size: int) -> None:
    """The loop one would write by hand, in one thread."""
    for study in studies:
        with Image.open(root / study.images[0], formats=("PNG",)) as image:
            np.asarray(ImageOps.pad(image.convert("L"), (size, size)))


def warm_read(size: int, path: Path, *, images: int = 4000, batch: int = 96, seconds: float = 3.0) -> float:
    """Images a second of random batches, copied out of a warm cache by one thread."""
    rng = np.random.default_rng(0)
    root = path.parent / "small"
    root.mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (size, size), dtype=np.uint8)).save(root / f"{i}.png")
    studies = [Study(f"s{i}", f"p{i}", (f"{i % 8}.png",)) for i in range(images)]
    cache, _ = ImageCache.build(studies, root=root, size=size, path=path)
    cache[np.arange(images)]
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += len(cache[np.sort(rng.choice(images, batch, replace=False))])
    return done / (time.perf_counter() - start)


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    for suffix in (".jpg", ".png"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            studies = draw(folder, options.images, options.side, suffix)
            plain = measure(partial(plain_loop, studies, folder, options.size), len(studies))
            build = partial(ImageCache.build, studies, root=folder, path=folder / "cache")
            ours = measure(partial(build, size=options.size, workers=options.workers), len(studies))
        times = ours.rate / plain.rate / options.workers
        print(
            f"build {suffix} {options.side} px → {options.size} px: plain loop {plain.rate:.0f}/s, "
            f"cache with {options.workers} workers {ours.rate:.0f}/s = {times:.2f} × (loop × workers); "
            f"processor {plain.milliseconds:.1f} and {ours.milliseconds:.1f} ms an image"
        )
    with tempfile.TemporaryDirectory() as name:
        rate = warm_read(options.size, Path(name) / "cache")
    print(f"warm cache, random batches of 96: {rate:,.0f} images of {options.size} px a second")


if __name__ == "__main__":
    main()
