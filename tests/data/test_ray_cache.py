"""The cache on a local Ray cluster (run by `make test-ray`)."""

import os

import numpy as np
import pytest
from PIL import Image

from medtrim.data import ImageCache
from medtrim.types import Study
from medtrim.types.processes import Engine


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own start-up warns of settings of its own
def test_rows_and_rejects_equal_those_of_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("medtrim.data.cache_build._RAY_BLOCK", 3)
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "1.png").read_bytes()[:90])
    images = [f"{i}.png" for i in range(8)] + ["torn.png", "missing.png"]
    studies = [Study(f"s{i}", f"p{i}", (image,)) for i, image in enumerate(images)]
    for engine in Engine:
        ImageCache.build(studies[:4], root=tmp_path, size=24, path=tmp_path / engine)
    os.utime(tmp_path / "0.png", ns=(1, 1))
    Image.fromarray(rng.integers(0, 255, (30, 30), dtype=np.uint8)).save(tmp_path / "2.png")
    threads, ray = (
        ImageCache.build(studies, root=tmp_path, size=24, path=tmp_path / engine, engine=engine, workers=2)
        for engine in Engine
    )
    assert ray.rejects == threads.rejects
    assert len(ray.rejects) == 2
    for build in (ray, threads):
        assert (build.decoded, build.reused, build.changed) == (5, 3, ("s2",))
    assert list(ray.cache.entries()) == list(threads.cache.entries())
    np.testing.assert_array_equal(ray.cache[:], threads.cache[:])
