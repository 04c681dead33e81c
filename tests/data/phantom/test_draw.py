from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from medtrim.data.phantom import Case, Lesion, Patient, Technique, draw, sample_case
from medtrim.data.phantom.draw import attenuation
from medtrim.data.phantom.frame import make_frame
from medtrim.errors import ConfigError
from medtrim.types import SIDES

BOTH = ("left", "right")
PLAIN = Case(Patient("M", 50), Technique(scale=1.1, shift_y=0.05))
# Disease, zone, severity, patterns, and the part of the side's lung where it shows: (u0, u1, y0, y1).
ONE_SIDED = [
    ("pleural effusion", "", "small", (), (0.55, 0.76, 0.35, 0.52)),
    ("pleural effusion", "", "moderate", (), (0.40, 0.74, 0.15, 0.40)),
    ("pleural effusion", "", "large", (), (0.40, 0.70, -0.1, 0.3)),
    ("pneumothorax", "apical", "small", (), (0.30, 0.40, -0.70, -0.60)),
    ("pneumothorax", "", "moderate", (), (0.26, 0.50, -0.70, -0.45)),
    ("pneumothorax", "", "large", (), (0.55, 0.72, -0.40, 0.20)),
    ("pleural other", "apical", "severe", (), (0.25, 0.45, -0.76, -0.66)),
    ("pleural other", "", "severe", (), (0.66, 0.76, -0.10, 0.20)),
    ("pleural other", "basal", "severe", (), (0.68, 0.76, 0.30, 0.45)),
    ("consolidation", "upper", "", (), (0.25, 0.55, -0.55, -0.25)),
    ("consolidation", "lower", "", (), (0.40, 0.65, 0.12, 0.30)),
    ("pneumonia", "upper", "", (), (0.35, 0.55, -0.50, -0.30)),
    ("pneumonia", "lower", "", ("patchy",), (0.30, 0.62, 0.05, 0.30)),
    ("lung opacity", "upper", "", ("hazy",), (0.35, 0.55, -0.50, -0.30)),
    ("lung opacity", "basal", "", ("patchy",), (0.30, 0.65, 0.10, 0.35)),
    ("lung opacity", "lower", "", ("streaky",), (0.30, 0.65, 0.00, 0.35)),
    ("lung opacity", "upper", "", ("interstitial",), (0.25, 0.60, -0.55, -0.25)),
    ("atelectasis", "basal", "moderate", (), (0.30, 0.65, 0.10, 0.36)),
    ("lung lesion", "upper", "large", (), (0.25, 0.65, -0.60, -0.20)),
    ("lung lesion", "lower", "small", (), (0.25, 0.65, 0.00, 0.35)),
    ("fracture", "", "", ("acute", "multiple"), (0.50, 0.85, -0.40, 0.40)),
    ("fracture", "", "", ("healed",), (0.50, 0.85, -0.40, 0.40)),
]


def _region(case: Case, size: int, side: str, where: tuple[float, float, float, float]) -> np.ndarray:
    frame = make_frame(case, size)
    u = frame.x if side == "left" else -frame.x
    return (u > where[0]) & (u < where[1]) & (frame.y > where[2]) & (frame.y < where[3])


def _film(case: Case, size: int = 128) -> np.ndarray:
    return draw(case, size=size, rng=np.random.default_rng(4)).astype(float)


def _with(*lesions: Lesion, case: Case = PLAIN) -> Case:
    return replace(case, lesions=lesions)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("disease", "zone", "severity", "patterns", "where"), ONE_SIDED)
def test_a_finding_changes_its_own_side_and_place(disease, zone, severity, patterns, where, side) -> None:
    case = _with(Lesion(disease, (side,), zone, severity, patterns, seed=1))
    # Without noise, exposure and mediastinal shift, to compare one ray with itself.
    after = attenuation(case, size=64, rng=np.random.default_rng(0))
    before = attenuation(PLAIN, size=64, rng=np.random.default_rng(0))
    other = "right" if side == "left" else "left"
    change = after - before
    here = change[_region(PLAIN, 64, side, where)]
    assert np.abs(here).max() > 0.15
    if severity != "large":  # a large effusion or pneumothorax pushes the mediastinum
        assert np.abs(change[_region(PLAIN, 64, other, (0.06, 0.9, -0.9, 0.9))]).max() < 1e-5
    brighter = disease != "pneumothorax"
    assert (here.mean() > 0) == brighter


def test_the_patients_left_is_on_the_images_right() -> None:
    plain = _film(PLAIN)
    for side, half in (("left", np.s_[70:90, 90:110]), ("right", np.s_[70:90, 18:38])):
        film = _film(_with(Lesion("pleural effusion", (side,), severity="moderate", seed=2)))
        assert film[half].mean() > plain[half].mean() + 40


def test_a_left_effusion_brightens_the_images_right_base_in_any_pose() -> None:
    for i in range(12):
        case = replace(sample_case(np.random.default_rng(i)), lesions=())
        film = _film(_with(Lesion("pleural effusion", ("left",), severity="moderate", seed=i), case=case), 64)
        change = film - _film(case, 64)
        lower = change[32:52]
        assert lower[:, 40:].mean() > 5
        assert lower[:, :26].any() == 0


def test_heart_is_left_sided_and_right_diaphragm_is_higher() -> None:
    film = attenuation(PLAIN, size=128, rng=np.random.default_rng(0))
    frame = make_frame(PLAIN, 128)
    level = np.abs(frame.y - 0.2) < 0.05
    heart = [film[level & (s * frame.x > 0.26) & (s * frame.x < 0.40)].mean() for s in (1, -1)]
    assert heart[0] > heart[1] + 0.4
    base = (frame.y > 0.34) & (frame.y < 0.375)
    dome = [film[base & (s * frame.x > 0.52) & (s * frame.x < 0.58)].mean() for s in (1, -1)]
    assert dome[1] > dome[0]


def _heart_width(case: Case) -> float:
    """Widest transparent-lung-free stretch around the midline above the diaphragm, in thorax units."""
    film = attenuation(case, size=256, rng=np.random.default_rng(0))
    frame = make_frame(case, 256)
    widths = []
    for y in np.linspace(0.10, 0.22, 5):
        row = int(np.abs(frame.y[:, 128] - y).argmin())
        dense = film[row] > 1.75
        x = frame.x[row]
        left = x[(x > 0) & ~dense].min()
        right = -x[(x < 0) & ~dense].max()
        widths.append(left + right)
    return max(widths)


def test_cardiothoracic_ratio_grows_with_severity_on_the_film() -> None:
    bare = Case(Patient("M", 50, bone_density=0.0, vessels=1), Technique())
    cases = [bare] + [
        _with(Lesion("cardiomegaly", severity=s, extent=0.5), case=bare) for s in ("mild", "moderate", "severe")
    ]
    ratios = [c.cardiothoracic_ratio for c in cases]
    assert ratios[0] < 0.5 < ratios[1] < ratios[2] < ratios[3]
    measured = [_heart_width(c) / (2 * 0.78) for c in cases]
    assert all(b > a + 0.03 for a, b in pairwise(measured))
    # A severely enlarged heart meets the wall, where its border is lost.
    assert measured[:3] == pytest.approx(ratios[:3], abs=0.06)


SCALES = [
    ("pleural effusion", ("right",), "", ("small", "moderate", "large"), 1),
    ("pneumothorax", ("left",), "", ("small", "moderate", "large"), -1),
    ("edema", BOTH, "hilar", ("mild", "moderate", "severe"), 1),
    ("edema", (), "", ("mild", "moderate", "severe"), 1),
    ("pleural other", ("left",), "apical", ("mild", "moderate", "severe"), 1),
    ("atelectasis", ("left",), "basal", ("mild", "moderate", "severe"), 1),
    ("lung lesion", ("right",), "upper", ("small", "", "large"), 1),
    ("enlarged cardiomediastinum", (), "", ("mild", "moderate", "severe"), 1),
]


@pytest.mark.parametrize(("disease", "sides", "zone", "severities", "direction"), SCALES)
def test_a_graver_finding_changes_more(disease, sides, zone, severities, direction) -> None:
    before = attenuation(PLAIN, size=96, rng=np.random.default_rng(0))
    sums = []
    for severity in severities:
        case = _with(Lesion(disease, sides, zone, severity, seed=6))
        change = attenuation(case, size=96, rng=np.random.default_rng(0)) - before
        sums.append(direction * change[direction * change > 0].sum())
    assert all(b > 1.15 * a > 0 for a, b in pairwise(sums))


def test_a_pneumothorax_has_no_vessels_beyond_its_line() -> None:
    lesion = Lesion("pneumothorax", ("left",), severity="large", seed=1)
    where = (0.60, 0.74, -0.30, 0.15)
    films = []
    for case in (PLAIN, _with(lesion)):
        trees = [replace(case, patient=replace(case.patient, vessels=v)) for v in (0, 3)]
        a, b = (attenuation(c, size=128, rng=np.random.default_rng(0)) for c in trees)
        films.append(np.abs(a - b)[_region(PLAIN, 128, "left", where)].max())
    assert films[0] > 0.02
    assert films[1] == 0.0


def test_what_a_report_only_suspects_is_drawn_fainter() -> None:
    before = attenuation(PLAIN, size=64, rng=np.random.default_rng(0))
    totals = []
    for assertion in ("uncertain", "present"):
        lesion = Lesion("consolidation", ("right",), "upper", assertion=assertion, seed=3)
        totals.append((attenuation(_with(lesion), size=64, rng=np.random.default_rng(0)) - before).sum())
    assert 0 < totals[0] < 0.8 * totals[1]


def test_equal_arguments_give_equal_films_and_seeds_matter() -> None:
    case = sample_case(np.random.default_rng(9))
    first, second = (draw(case, size=64, rng=np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, draw(case, size=64, rng=np.random.default_rng(2)))


@pytest.mark.parametrize("size", [32, 64, 128, 224, 512])
def test_a_case_looks_alike_at_every_size(size: int) -> None:
    case = replace(
        _with(
            Lesion("pneumonia", ("right",), "lower", seed=5),
            Lesion("pleural effusion", ("left",), severity="large"),
        ),
        technique=replace(PLAIN.technique, noise=0.0),
    )
    film = draw(case, size=size, rng=np.random.default_rng(3))
    assert film.shape == (size, size)
    assert film.dtype == np.uint8
    step = size // 32
    coarse = film[: step * 32, : step * 32].reshape(32, step, 32, step).mean(axis=(1, 3))
    reference = draw(case, size=128, rng=np.random.default_rng(3)).reshape(32, 4, 32, 4).mean(axis=(1, 3))
    assert np.corrcoef(coarse.ravel(), reference.ravel())[0, 1] > 0.97


def test_films_are_well_exposed() -> None:
    films = [draw(sample_case(np.random.default_rng(i)), size=64, rng=np.random.default_rng(i)) for i in range(60)]
    means = [f.mean() for f in films]
    assert 90 < min(means) < max(means) < 215
    assert min(f.std() for f in films) > 25


def test_too_small_a_film_is_refused() -> None:
    with pytest.raises(ConfigError, match="32"):
        draw(PLAIN, size=31, rng=np.random.default_rng(0))
