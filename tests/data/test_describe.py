from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.data.describe import describe, write_description
from medtrim.data.near_reports import LIKE, near_identical
from medtrim.data.phantom import make_corpus
from medtrim.types import Annotation, Finding, Study


def counts(description, title: str) -> dict[str, int | str]:
    return {row.name: row.count for row in description.section(title).rows}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def studies(tmp_path) -> list[Study]:
    for name, content in {"a": b"1", "b": b"1", "c": b"2", "d": b"1"}.items():
        (tmp_path / f"{name}.png").write_bytes(content)

    def study(i: int, patient: str, image: str, text: str, split: str, view: str, **labels) -> Study:
        return Study(f"s{i}", patient, (f"{image}.png",), view, text, "", split, labels)

    return [
        study(0, "p0", "a", "Clear, lungs 12.", "train", "PA", sex="F", age=40, day="d0"),
        study(1, "p1", "b", "clear lungs; 7", "test", "LL", sex="M", age=50, day="d1"),
        study(2, "p0", "c", "Effusion.", "test", "", sex="M", age=None, day="d2"),
        study(3, "p3", "gone", "Edema.", "train", "AP", sex="M", age=60, day="d3"),
    ]


def test_what_is_missing_or_repeated_is_counted_and_leaks_are_said(studies, tmp_path):
    found = describe(studies, root=tmp_path)
    assert counts(found, "Counts")["patients"] == 3
    assert counts(found, "Views") == {"PA": 1, "LATERAL": 1, "unknown": 1, "AP": 1}
    assert "1 studies have lateral views only" in found.section("Views").caution
    assert "1 patient(s) have studies in several splits" in found.section("Splits").caution
    files = counts(found, "Image files")
    assert (files["readable"], files["image file is missing"]) == (3, 1)
    assert files["images that repeat another, byte for byte"] == 1
    assert files["repeated images under several patients"] == 1
    assert "1 image(s) are in several splits" in found.section("Image files").caution
    reports = counts(found, "Reports")
    assert (reports["the same words as another study's"], reports["different texts among these"]) == (2, 1)
    assert "1 of these groups are in several splits" in found.section("Reports").caution
    assert counts(found, "Label sex") == {"filled": 4, "M": 3, "F": 1}
    assert counts(found, "Label age")["filled"] == 3


def test_near_identical_reports_are_those_that_share_their_word_triples(rng):
    words = [f"w{i}" for i in range(40)]
    texts = [list(rng.choice(words, size=rng.integers(1, 40))) for _ in range(60)]
    for i in range(0, 60, 3):  # of each third a copy with one word changed
        copy = list(texts[i])
        copy[int(rng.integers(len(copy)))] = "other"
        texts.append(copy)
    triples = [{tuple(t[k : k + 3]) for k in range(len(t) - 2)} if len(t) > 2 else {tuple(t)} for t in texts]
    group = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        if len(triples[i] & triples[j]) / len(triples[i] | triples[j]) >= LIKE:
            group = [group[i] if g == group[j] else g for g in group]
    found = near_identical(texts).tolist()
    pairs = list(itertools.combinations(range(len(texts)), 2))
    assert [found[i] == found[j] for i, j in pairs] == [group[i] == group[j] for i, j in pairs]
    assert len(set(found)) < len(texts)


def test_near_identical_reports_in_two_splits_are_a_caution():
    text = " ".join(f"w{a}{b}" for a in "abcde" for b in "fghijkl")
    changed = text.replace("wch", "another")
    reports = [(text, "train"), (changed, "test"), ("Effusion on the left.", "test")]
    found = describe([Study(f"s{i}", f"p{i}", findings=t, split=s) for i, (t, s) in enumerate(reports)])
    told = counts(found, "Reports")
    assert told["the same words as another study's"] == 0
    assert told["near-identical to another study's (80% of word triples)"] == 2
    assert "1 of these groups are in several splits" in found.section("Reports").caution
    assert describe([Study("s", "p")]).sections[0].title == "Counts"


def test_findings_and_labels_that_are_findings_are_counted():
    finding = Finding("edema", "present")
    truth = [{"disease": "edema", "assertion": "absent"}]
    found = describe([Study("s", "p", labels={"truth": truth})], annotations=[Annotation("s", (finding, finding))])
    assert counts(found, "Findings") == {"edema, present": 2}
    assert counts(found, "Label truth") == {"filled": 1, "edema, absent": 1}


def test_many_numbers_are_summed_up_and_unlike_words_are_not_listed():
    studies = [Study(f"s{i}", "p", labels={"age": i, "note": f"secret {i}"}) for i in range(40)]
    found = describe(studies)
    assert counts(found, "Label age")["smallest, median, largest"] == "0, 19.5, 39"
    assert counts(found, "Label note") == {"filled": 40, "different values": 40}


def test_the_page_escapes_and_loads_nothing(tmp_path):
    found = describe([Study("s", "p", split="<script>")])
    write_description(found, tmp_path / "p.html", name="<b>")
    page = (tmp_path / "p.html").read_text()
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert not re.search(r"(src|href)=", page)


def test_command(tmp_path):
    make_corpus(12, tmp_path, size=32)
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["data", "describe", str(tmp_path / "studies.parquet"), "-o", str(page)])
    assert result.exit_code == 0, result.output
    for words in ("studies", "Views", "readable", "Label truth"):
        assert words in result.output
        assert words in page.read_text()
