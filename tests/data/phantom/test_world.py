from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from medtrim.data.phantom import Case, Lesion, Patient, Technique, draw, sample_case, write_report
from medtrim.data.phantom.corpus import make_study, plan
from medtrim.data.phantom.settings import SETTINGS
from medtrim.data.phantom.world import World, load_world, world_names
from medtrim.entities import Recognizer
from medtrim.errors import ConfigError
from medtrim.types import DISEASES, Finding, Study

OTHERS = [name for name in world_names() if name != "A"]


def _shape(tables: Any) -> Any:
    return {key: _shape(value) for key, value in tables.items()} if isinstance(tables, dict) else type(tables)


@pytest.mark.parametrize("name", world_names())
def test_a_world_has_every_setting_and_its_wording_every_place_and_word(name: str) -> None:
    world, first = load_world(name), load_world("A")
    assert set(world.settings) == set(SETTINGS)
    assert sum(world.settings.values()) == pytest.approx(1.0)
    ours, theirs = world.words, first.words
    for key in (
        "adjectives",
        "places",
        "negatives",
        "adverbs",
        "special",
        "signs",
        "incidental",
        "technique",
        "normal",
    ):
        assert _shape(ours[key]) == _shape(theirs[key]), key
    assert set(ours) == set(theirs)
    assert set(ours["heads"]) == set(theirs["heads"])


def test_an_unknown_world_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no world 'Z'; worlds: A, B, C"):
        load_world("Z")


@pytest.mark.parametrize(("one", "other"), list(combinations(world_names(), 2)))
def test_worlds_share_neither_prevalence_nor_film_nor_sentence(one: str, other: str) -> None:
    share = [
        np.mean([not sample_case(np.random.default_rng(i), world=w).lesions for i in range(600)])
        for w in (one, other)
    ]
    assert abs(share[0] - share[1]) > 0.08
    member = plan(10, 0)[3]
    (_, _, first), (_, _, second) = (make_study(member, seed=0, size=64, world=w) for w in (one, other))
    assert np.abs(first.astype(int) - second).mean() > 5
    said = [
        {s for i in range(300) for s in _sentences(sample_case(np.random.default_rng(i), world=w), i)}
        for w in (one, other)
    ]
    assert len(said[0] & said[1]) < 0.03 * len(said[1])


def test_c_is_no_mixture_of_a_and_b() -> None:
    a, b, c = (_numbers(load_world(name)) for name in "ABC")
    apart = [key for key in a if min(abs(c[key] - a[key]), abs(c[key] - b[key])) < 0.5 * abs(a[key] - b[key])]
    assert len(apart) < 0.05 * len(a), apart


def _numbers(world: World) -> dict[str, float]:
    """Every parameter that is a number, by its path."""
    found: dict[str, float] = {}
    for field in fields(world):
        value = getattr(world, field.name)
        parts = value.items() if isinstance(value, dict) else enumerate(np.atleast_1d(value))
        found |= {f"{field.name}.{k}": v for k, v in parts if isinstance(v, int | float | np.number)}
    return found


def _sentences(case: Case, seed: int) -> list[str]:
    report = write_report(case, np.random.default_rng(seed))
    return f"{report.findings} {report.impression}".split(". ")


@pytest.mark.parametrize("world", OTHERS)
def test_the_recogniser_reads_the_reports_of_another_world_as_drawn(world: str) -> None:
    reader, right, seen = Recognizer(), 0, 0
    for i in range(250):
        rng = np.random.default_rng(i)
        case = sample_case(rng, world=world)
        report = write_report(case, rng)
        read = reader.annotate(Study(str(i), "p", findings=report.findings, impression=report.impression))
        drawn, got = _facts(case.truth), _facts(read.findings)
        right += 2 * len(drawn & got)
        seen += len(drawn) + len(got)
    assert right / seen > 0.97  # two in a hundred are left out of the reports on purpose


def _facts(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    told = [f for f in findings if f.assertion != "absent" and f.disease in DISEASES]
    return {(f.disease, word) for f in told for word in ("", *f.adjectives, *f.directions)}


@pytest.mark.parametrize("world", OTHERS)
def test_every_disease_is_drawn_in_another_world(world: str) -> None:
    drawn = {d for i in range(600) for d in _drawn(sample_case(np.random.default_rng(i), world=world))}
    assert drawn == set(DISEASES) - {"no finding"}


def _drawn(case: Case) -> set[str]:
    return {finding.disease for finding in case.truth}


@pytest.mark.parametrize("world", OTHERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_finding_of_another_world_is_drawn_on_its_own_side(world: str, side: str) -> None:
    plain = Case(Patient("M", 40), Technique(noise=0.0), world=world)
    sick = replace(plain, lesions=(Lesion("pleural effusion", (side,), severity="large"),))
    before, after = (draw(c, size=64, rng=np.random.default_rng(0)).astype(int) for c in (plain, sick))
    change = np.abs(after - before)[20:50]
    half = change[:, 34:] if side == "left" else change[:, :30]
    assert half.sum() > 0.75 * change.sum()
