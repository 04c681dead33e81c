from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.report.mining_facts import MiningFacts
from medtrim.experiments.report import duration, render, write_report
from medtrim.experiments.results import Results

VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects ids, links, pictures and attributes that load things."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.loads: list[str] = []
        self.without_alt = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if "id" in fields:
            self.ids.append(str(fields["id"]))
        if tag == "a":
            self.targets.append(str(fields["href"]))
        self.loads += [str(v) for k, v in attrs if k in ("src", "srcset", "data", "xlink:href")]
        if tag == "link":
            self.loads.append(str(fields.get("href")))
        if tag == "img" and not fields.get("alt"):
            self.without_alt += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(results: Results) -> None:
    html = render(results)
    page = Page(html)
    assert page.open == []
    assert all(source.startswith("data:image/") for source in page.loads)
    assert len(page.loads) == 22
    assert page.without_alt == 0
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", html)
    assert "default-src 'none'" in html


def test_links_inside_the_page_lead_somewhere(results: Results) -> None:
    page = Page(render(results))
    assert len(page.ids) == len(set(page.ids))
    assert {t[1:] for t in page.targets if t.startswith("#")} <= set(page.ids)


def test_report_text_is_escaped(results: Results) -> None:
    html = render(replace(results, title="<script>alert(1)</script>"))
    assert "<script>alert(1)" not in html
    assert "Report &lt;of&gt; study &amp; co." in html


def test_agreement_and_conflict_are_marked(results: Results) -> None:
    html = render(results)
    assert '<span class="mark agrees">' in html
    assert re.search(r'class="mark conflicts">.*?✗ side, severity', html)
    assert '<span class="mark missing">pleural effusion</span>' in html


def test_ndcg_never_stands_alone(results: Results) -> None:
    alone = tuple(f for f in results.figures if f.metric != "attribute AUC")
    with pytest.raises(ConfigError, match="needs attribute AUC"):
        render(replace(results, figures=alone))


def test_bare_results_make_a_report_too(results: Results) -> None:
    bare = replace(results, figures=(), curves=(), gallery=(), maps=(), timings=(), versions={}, config={})
    page = Page(render(bare))
    assert page.open == []
    assert {t[1:] for t in page.targets if t.startswith("#")} <= set(page.ids)


def test_the_report_of_patients_says_whose_data_it_holds(results: Results) -> None:
    assert "patients: handle it" not in render(results)
    assert "patients: handle it" in render(replace(results, corpus=replace(results.corpus, drawn=False)))


MINED = MiningFacts(
    triplets=1234,
    ceiling=0.6,
    same_disease=0.85,
    negatives_sharing=0.731,
    negatives_normal=0.001,
    negatives_from_ceiling=0,
    positives_same_diseases=1.0,
    positives_same_descriptors=0.222,
)


def test_the_published_objective_is_explained_by_this_runs_triplets(results: Results) -> None:
    html = render(replace(results, mining=MINED))
    section = html[html.index('<section id="published"') : html.index('<section id="run"')]
    assert re.findall(r"<td>(.*?)</td>", section) == ["73 %", "below 1 %", "0", "100 %", "22 %"]
    for words in ("1,234 triplets", "effective rank 6.3", "--methods medtrim,clip,paper"):
        assert words in section
    none = render(replace(results, mining=replace(MINED, triplets=0)))
    assert "admits no triplet" in none


def test_no_figure_of_another_run_is_in_the_report(results: Results) -> None:
    html = render(results)
    section = html[html.index('<section id="published"') : html.index('<section id="run"')]
    assert "<table" not in section
    assert not re.search(r"\d+ %|seeds|steps of", section)


def test_the_same_results_are_the_same_bytes(results: Results) -> None:
    assert render(results) == render(results)


def test_a_folder_gets_report_html(results: Results, tmp_path: Path) -> None:
    assert write_report(results, tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (65, "1 min 05 s"), (59.94, "59.9 s"), (7380, "2 h 03 min")]
)
def test_durations_read_as_said(seconds: float, text: str) -> None:
    assert duration(seconds) == text
