from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtrim.data import ImageCache, check_images, load_square
from medtrim.data.cache_index import INDEX_NAME, JOURNAL_NAME, PIXELS_NAME
from medtrim.errors import ConfigError, TableError
from medtrim.types import Study


def draw(path: Path, seed: int, side: int = 40) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side + 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def corpus(tmp_path) -> tuple[list[Study], Path]:
    root = tmp_path / "corpus"
    root.mkdir()
    for i in range(7):
        draw(root / f"{i}.png", i)
    return [Study(f"s{i}", f"p{i}", images=(f"{i}.png",)) for i in range(7)], root


def test_rows_hold_what_load_square_gives(corpus, tmp_path):
    studies, root = corpus
    cache, rejects = ImageCache.build(studies, root=root, size=24, path=tmp_path / "c", workers=3)
    assert not rejects
    assert len(cache) == 7
    assert cache.size == 24
    rows = cache.rows(["s4", "s0", "s4"])
    batch = cache[rows]
    assert batch.shape == (3, 24, 24)
    for pixels, name in zip(batch, ("4", "0", "4"), strict=True):
        np.testing.assert_array_equal(pixels, load_square(root / f"{name}.png", 24))
    assert "s3" in cache
    assert "s99" not in cache
    with pytest.raises(TableError, match="1 of 2 studies are not in it: 's99'"):
        cache.rows(["s1", "s99"])


def test_workers_do_not_matter(corpus, tmp_path):
    studies, root = corpus
    for workers in (1, 4):
        ImageCache.build(studies, root=root, size=16, path=tmp_path / f"c{workers}", workers=workers)
    one, four = (tmp_path / f"c{w}" / PIXELS_NAME for w in (1, 4))
    assert one.read_bytes() == four.read_bytes()
    assert (tmp_path / "c1" / INDEX_NAME).read_bytes() == (tmp_path / "c4" / INDEX_NAME).read_bytes()


def test_new_studies_are_appended_and_old_ones_left(corpus, tmp_path):
    studies, root = corpus
    first = ImageCache.build(studies[:3], root=root, size=16, path=tmp_path / "c")
    before = (tmp_path / "c" / PIXELS_NAME).read_bytes()
    second = ImageCache.build(studies[2:], root=root, size=16, path=tmp_path / "c")
    assert (first.decoded, second.decoded, second.reused) == (3, 4, 1)
    assert (tmp_path / "c" / PIXELS_NAME).read_bytes().startswith(before)
    assert second.cache.study_ids == tuple(s.study_id for s in studies)
    # A reader that was there first still sees its images.
    np.testing.assert_array_equal(first.cache[0], load_square(root / "0.png", 16))


def test_changed_source_is_noticed_and_its_old_row_left(corpus, tmp_path):
    studies, root = corpus
    old = ImageCache.build(studies, root=root, size=16, path=tmp_path / "c").cache
    before = old[old.rows(["s2"])]
    draw(root / "2.png", 99)
    os.utime(root / "3.png", ns=(1, 1))  # touched, not changed
    build = ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    assert (build.changed, build.decoded, build.reused) == (("s2",), 1, 6)
    np.testing.assert_array_equal(build.cache[build.cache.rows(["s2"])][0], load_square(root / "2.png", 16))
    np.testing.assert_array_equal(old[old.rows(["s2"])], before)
    assert ImageCache.build(studies, root=root, size=16, path=tmp_path / "c").decoded == 0


def test_bad_images_are_rejects_and_leave_the_cache(corpus, tmp_path):
    studies, root = corpus
    ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    (root / "1.png").write_bytes(b"no longer an image")
    (root / "5.png").unlink()
    more = [*studies, Study("none", "p")]
    cache, rejects = ImageCache.build(more, root=root, size=16, path=tmp_path / "c")
    assert {r.study_id: r.reason for r in rejects} == {
        "s1": "file is no image in a known format (PNG, JPEG, TIFF, DICOM)",
        "s5": "image file is missing",
        "none": "study has no image",
    }
    assert cache.study_ids == ("s0", "s2", "s3", "s4", "s6")


def test_a_row_that_was_given_up_is_not_written_again(corpus, tmp_path):
    studies, root = corpus
    old = ImageCache.build(studies, root=root, size=16, path=tmp_path / "c").cache
    last = old[old.rows(["s6"])]
    (root / "6.png").unlink()
    ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    draw(root / "new.png", 50)
    new = Study("new", "p", images=("new.png",))
    cache = ImageCache.build([new], root=root, size=16, path=tmp_path / "c").cache
    np.testing.assert_array_equal(old[old.rows(["s6"])], last)
    np.testing.assert_array_equal(cache[cache.rows(["new"])][0], load_square(root / "new.png", 16))


def test_every_image_of_a_study(corpus, tmp_path):
    studies, root = corpus
    study = replace(studies[0], images=("0.png", "1.png"))
    build = ImageCache.build([study], root=root, size=16, path=tmp_path / "c", every_image=True)
    assert len(build.cache) == 2
    assert build.cache.study_ids == ("s0",)
    second = build.cache[build.cache.rows(["s0"], position=1)][0]
    np.testing.assert_array_equal(second, load_square(root / "1.png", 16))


def test_flipped_bits_are_found(corpus, tmp_path):
    studies, root = corpus
    ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    pixels = tmp_path / "c" / PIXELS_NAME
    content = bytearray(pixels.read_bytes())
    content[4 * 256 + 7] ^= 1
    pixels.write_bytes(content)
    assert ImageCache(tmp_path / "c").broken() == ["s4"]


def test_refusals(corpus, tmp_path):
    studies, root = corpus
    with pytest.raises(TableError, match="no image cache"):
        ImageCache(tmp_path / "c")
    ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    with pytest.raises(ConfigError, match="size 16"):
        ImageCache.build(studies, root=root, size=32, path=tmp_path / "c")
    with pytest.raises(ConfigError, match="'crop'"):
        ImageCache.build(studies, root=root, size=16, path=tmp_path / "c", fit="crop")
    with pytest.raises(TableError, match="duplicate"):
        ImageCache.build([studies[0], studies[0]], root=root, size=16, path=tmp_path / "c")
    with pytest.raises(ConfigError):
        ImageCache.build(studies, root=root, size=0, path=tmp_path / "d")
    os.truncate(tmp_path / "c" / PIXELS_NAME, 500)
    with pytest.raises(TableError, match="rebuild"):
        ImageCache(tmp_path / "c")
    assert len(ImageCache.build(studies, root=root, size=16, path=tmp_path / "c").cache) == 7


def test_journal_with_a_torn_line_is_resumed(corpus, tmp_path):
    studies, root = corpus
    whole = ImageCache.build(studies, root=root, size=16, path=tmp_path / "c").cache
    lines = [json.dumps(asdict(e)) for e in list(whole.entries())[:4]]
    (tmp_path / "c" / INDEX_NAME).unlink()
    (tmp_path / "c" / JOURNAL_NAME).write_text("\n".join([*lines, '{"study_id": "s4", "posi']))
    build = ImageCache.build(studies, root=root, size=16, path=tmp_path / "c")
    assert (build.reused, build.decoded) == (4, 3)
    assert not (tmp_path / "c" / JOURNAL_NAME).exists()
    assert build.cache.broken() == []


SCRIPT = """
import sys, time
from medtrim.data import ImageCache
from medtrim.types import Study
root, cache, n, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
studies = [Study(f"s{i}", f"p{i}", images=(f"{i % 7}.png",)) for i in range(n)]
def progress(done, total):
    print(done, flush=True)
    if done >= stop:
        time.sleep(600)
ImageCache.build(studies, root=root, size=32, path=cache, workers=2, progress=progress)
"""


@contextmanager
def builder_that_waits(root: Path, cache: Path, *, studies: int, stop: int) -> Iterator[None]:
    """Another process that builds a cache and halts in the middle, then is killed."""
    command = [sys.executable, "-c", SCRIPT, str(root), str(cache), str(studies), str(stop)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        next(line for line in process.stdout if int(line) >= stop)
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def test_killed_build_resumes_to_the_same_cache(corpus, tmp_path):
    _, root = corpus
    n = 1000
    with builder_that_waits(root, tmp_path / "killed", studies=n, stop=512):
        pass
    assert not (tmp_path / "killed" / INDEX_NAME).exists()
    with (tmp_path / "killed" / PIXELS_NAME).open("ab") as file:
        file.write(b"half a block that no journal knows of" * 99)
    studies = [Study(f"s{i}", f"p{i}", images=(f"{i % 7}.png",)) for i in range(n)]
    resumed = ImageCache.build(studies, root=root, size=32, path=tmp_path / "killed")
    whole = ImageCache.build(studies, root=root, size=32, path=tmp_path / "whole")
    assert (resumed.reused, resumed.decoded) == (512, n - 512)
    ids = [s.study_id for s in studies]
    np.testing.assert_array_equal(resumed.cache[resumed.cache.rows(ids)], whole.cache[whole.cache.rows(ids)])
    assert resumed.cache.broken() == []


def test_two_builders_at_once_are_refused(corpus, tmp_path):
    studies, root = corpus
    with (
        builder_that_waits(root, tmp_path / "c", studies=7, stop=0),
        pytest.raises(ConfigError, match="is being written by process"),
    ):
        ImageCache.build(studies, root=root, size=32, path=tmp_path / "c")
    assert ImageCache.build(studies, root=root, size=32, path=tmp_path / "c").decoded == 7


def test_check_images_drops_what_cannot_be_used(corpus):
    studies, root = corpus
    Image.fromarray(np.full((30, 30), 9, np.uint8)).save(root / "flat.png")
    mixed = replace(studies[0], images=("flat.png", "0.png"))
    bad = replace(studies[1], images=("gone.png",))
    check = check_images([mixed, bad, studies[2], Study("none", "p")], root=root)
    assert [(s.study_id, s.images) for s in check.studies] == [("s0", ("0.png",)), ("s2", ("2.png",))]
    assert [(r.study_id, r.reason) for r in check.rejects] == [
        ("s0", "image is constant (gray levels 9 to 9)"),
        ("s1", "image file is missing"),
        ("none", "study has no image"),
    ]
