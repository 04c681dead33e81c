from __future__ import annotations

import numpy as np
import pytest

from medtrim.data import ImageCache, fit_square
from medtrim.data.images import load_square
from medtrim.data.lungs import equalized, lung_box
from medtrim.data.phantom.corpus import make_study, plan
from medtrim.errors import ConfigError
from medtrim.types import Study
from research.lung_box import drawn_box, fit_lung_box

SIZE = 128


@pytest.fixture(scope="module")
def films():
    """Phantoms of another seed than the regression saw, with their true boxes."""
    made = [make_study(member, seed=77, size=SIZE) for member in plan(20, 77)]
    return [film for _, _, film in made], np.array([drawn_box(case, SIZE) for case, _, _ in made])


def overlap(a, b):
    """Intersection over union of two rectangles, written out."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    areas = [(r[2] - r[0]) * (r[3] - r[1]) for r in (a, b)]
    return inside / (sum(areas) - inside)


def test_the_box_lies_around_drawn_lungs_and_follows_them(films):
    pictures, boxes = films
    assert np.mean([overlap(lung_box(p), b) for p, b in zip(pictures, boxes, strict=True)]) > 0.85
    smaller = [np.pad(fit_square(p, 96), ((0, 32), (0, 32))) for p in pictures]
    moved = [overlap(lung_box(p), 0.75 * b) for p, b in zip(smaller, boxes, strict=True)]
    assert np.mean(moved) > np.mean([overlap(b, 0.75 * b) for b in boxes]) + 0.04


def test_the_fit_repeats_by_seed():
    few = fit_lung_box(60, seed=0)
    assert few.shape == (577, 4)
    np.testing.assert_array_equal(few, fit_lung_box(60, seed=0))


def test_equalised_films_do_not_depend_on_exposure(films):
    film = films[0][0]
    darker = (film * 0.6).astype(np.uint8)
    near = np.abs(equalized(film).astype(int) - equalized(darker).astype(int)).mean()
    assert near < np.abs(film.astype(int) - darker.astype(int)).mean() / 5


def test_a_cache_remembers_how_its_films_were_prepared(tmp_path, films):
    from PIL import Image

    Image.fromarray(films[0][0]).save(tmp_path / "a.png")
    studies = [Study("a", "p", ("a.png",))]
    options = {"root": tmp_path, "size": 32, "path": tmp_path / "cache"}
    built = ImageCache.build(studies, **options, fit="lungs", equalize=True)
    expected = load_square(tmp_path / "a.png", 32, fit="lungs", equalize=True)
    np.testing.assert_array_equal(built.cache[0], expected)
    assert (built.cache.format.fit, built.cache.format.equalize) == ("lungs", True)
    assert not np.array_equal(expected, load_square(tmp_path / "a.png", 32))
    with pytest.raises(ConfigError, match="fit 'lungs', equalised, not size 32 and fit 'lungs': use another"):
        ImageCache.build(studies, **options, fit="lungs")
