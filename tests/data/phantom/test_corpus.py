from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medtrim.data.phantom import make_corpus
from medtrim.data.phantom.corpus import make_study, plan
from medtrim.data.phantom.png import encode_png
from medtrim.errors import ConfigError
from medtrim.types import DISEASES, tables


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_corpus_is_a_studies_table_with_truth_and_images(tmp_path: Path) -> None:
    make_corpus(12, tmp_path, seed=3, size=48)
    studies = tables.read_studies(tmp_path / "studies.parquet")
    assert len(studies) == 12
    for study in studies:
        with Image.open(tmp_path / study.images[0], formats=("PNG",)) as image:
            assert image.size == (48, 48)
            assert image.mode == "L"
            assert image.info == {}
        assert study.findings or study.impression
        assert {f["disease"] for f in study.labels["truth"]} <= set(DISEASES)  # type: ignore[attr-defined]
    origin = tables.provenance_of(pq.read_table(tmp_path / "studies.parquet"))
    assert origin is not None
    assert (origin.seed, dict(origin.config)) == (3, {"n": 12, "size": 48, "world": "A"})


def test_neither_workers_nor_hash_seed_change_a_byte(tmp_path: Path) -> None:
    make_corpus(60, tmp_path / "one", seed=5, size=32)
    code = (
        "import sys; from pathlib import Path; from medtrim.data.phantom import make_corpus\n"
        "if __name__ == '__main__': make_corpus(60, Path(sys.argv[1]), seed=5, size=32, workers=2)"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, str(script), str(tmp_path / "two")], check=True, env=env)
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_another_seed_is_another_corpus() -> None:
    ours = make_study(plan(1, 0)[0], seed=0, size=32)
    theirs = make_study(plan(1, 1)[0], seed=1, size=32)
    assert not np.array_equal(ours[2], theirs[2])


def test_a_killed_run_leaves_no_table(tmp_path: Path) -> None:
    make_corpus(60, tmp_path, size=32)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_corpus(120, tmp_path, size=32, progress=stop)
    assert not (tmp_path / "studies.parquet").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_corpus(55, tmp_path, size=32, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 55), (50, 55), (55, 55)]


@pytest.mark.parametrize("arguments", [{"n": 0}, {"seed": -1}, {"size": 16}, {"size": 4096}, {"workers": 0}])
def test_arguments_out_of_range_are_named(arguments: dict[str, int], tmp_path: Path) -> None:
    name, value = next(iter(arguments.items()))
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        make_corpus(**{"n": 3, "out": tmp_path, **arguments})  # type: ignore[arg-type]


def test_patients_keep_to_one_split_and_shares_are_six_one_two() -> None:
    members = plan(6000, 0)
    split_of: dict[int, str] = {}
    for member in members:
        assert split_of.setdefault(member.patient, member.split) == member.split
    counts = {name: sum(m.split == name for m in members) for name in ("train", "val", "test")}
    assert counts["train"] == pytest.approx(4000, abs=4)
    assert counts["val"] == pytest.approx(667, abs=4)
    assert len({m.patient for m in members}) < 5000


def test_png_bytes_decode_to_the_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47), dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(encode_png(pixels))
    with Image.open(tmp_path / "x.png", formats=("PNG",)) as image:
        assert np.array_equal(np.asarray(image), pixels)
