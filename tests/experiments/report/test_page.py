from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from medtrim.errors import ConfigError
from medtrim.evaluation.agreement import compare, unmarked
from medtrim.experiments.report.charts import Point, plot
from medtrim.experiments.report.embedding_map import SEVERAL, EmbeddingMap, MapPoint
from medtrim.experiments.report.gallery import GalleryQuery, GalleryStudy, data_uri
from medtrim.experiments.report.mining_facts import MiningFacts
from medtrim.experiments.report.page import PageParts, duration, render
from medtrim.experiments.report.tables import check_companions, main_tables, more_tables
from medtrim.experiments.results import SuiteResults
from medtrim.types import DISEASES, Finding

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


LEFT = Finding("pleural effusion", "present", ("large",), ("left",))
OTHERS = (
    (LEFT,),
    (Finding("pleural effusion", "uncertain", ("small",), ("right",)), Finding("edema", "present", ("mild",))),
    (Finding("pleural effusion", "present", ("large", "patchy"), ("left", "basal")),),
    (Finding("pneumothorax", "present", (), ("right", "apical")),),
    (Finding("edema", "absent"),),
)
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


@pytest.fixture(scope="module")
def parts() -> PageParts:
    rng = np.random.default_rng(0)
    picture = data_uri(rng.integers(0, 255, (24, 24)).astype(np.uint8))
    query = GalleryStudy("q1", picture, "Large left pleural effusion. No edema.", "Effusion.", unmarked([LEFT]))
    retrieved = tuple(
        GalleryStudy(
            f"s{i}",
            picture,
            "Report <of> study & co. " * 3,
            "",
            (found := compare([LEFT, Finding("edema", "absent")], findings)).marks,
            found.missing,
            similarity=0.9 - 0.05 * i,
        )
        for i, findings in enumerate(OTHERS)
    )
    points = tuple(
        MapPoint(
            float(x), float(y), "image" if i % 2 else "text", (*DISEASES, "no finding", SEVERAL)[i % 14], "words"
        )
        for i, (x, y) in enumerate(rng.uniform(size=(60, 2)))
    )
    curve = [Point(s, math.exp(-s / 90)) for s in range(0, 401, 20)]
    item = GalleryQuery("image→text", query, {"medtrim": retrieved, "clip": tuple(reversed(retrieved))})
    return PageParts(
        curves=(plot("mean fine P@10", {("medtrim", "MedTrim"): curve, ("clip", "CLIP"): curve}, x_label="step"),),
        maps=tuple(EmbeddingMap(m, points, "t-SNE", 0.42, 6.3) for m in ("medtrim", "clip")),
        gallery=(item,),
        failures=(replace(item, direction="text→image"),),
        mining=MINED,
        published=True,
        command="medtrim demo --output demo",
    )


def section_of(html: str, name: str) -> str:
    return html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_the_page_is_well_formed_and_loads_nothing(results: SuiteResults, parts: PageParts) -> None:
    html = render(results, parts)
    page = Page(html)
    assert page.open == []
    assert all(source.startswith("data:image/") for source in page.loads)
    assert len(page.loads) == 22
    assert page.without_alt == 0
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", html)
    assert "default-src 'none'" in html


def test_links_inside_the_page_lead_somewhere(results: SuiteResults, parts: PageParts) -> None:
    page = Page(render(results, parts))
    assert len(page.ids) == len(set(page.ids))
    assert {t[1:] for t in page.targets if t.startswith("#")} <= set(page.ids)


def test_a_page_without_parts_is_whole_too(results: SuiteResults) -> None:
    html = render(results)
    page = Page(html)
    assert page.open == []
    assert {t[1:] for t in page.targets if t.startswith("#")} <= set(page.ids)
    for name in ("gallery", "failures", "map", "published", "curves"):
        assert f'id="{name}"' not in html
    bare = SuiteResults((), {**results.facts, "headline": []})
    assert Page(render(bare)).open == []


def test_report_text_is_escaped(results: SuiteResults, parts: PageParts) -> None:
    titled = SuiteResults(results.rows, {**results.facts, "title": "<script>alert(1)</script>"})
    html = render(titled, parts)
    assert "<script>alert(1)" not in html
    assert "Report &lt;of&gt; study &amp; co." in html


def test_agreement_and_conflict_are_marked(results: SuiteResults, parts: PageParts) -> None:
    html = render(results, parts)
    assert '<span class="mark agrees">' in html
    assert re.search(r'class="mark conflicts">.*?✗ side, severity', html)
    assert '<span class="mark missing">pleural effusion</span>' in html


@pytest.mark.parametrize("missing", ["attribute AUC", "disease AUC"])
def test_ndcg_never_stands_alone(results: SuiteResults, missing: str) -> None:
    check_companions(results.of("pooled"))
    fewer = tuple(r for r in results.rows if not (r.metric == missing and r.direction == "t2i"))
    with pytest.raises(ConfigError, match=f"nDCG@10 .* needs {missing}"):
        render(SuiteResults(fewer, results.facts))


def test_a_method_that_was_not_measured_has_an_empty_cell(results: SuiteResults) -> None:
    key = results.headline[0]
    fewer = tuple(r for r in results.rows if not (r.method == "clip" and r.key == key))
    first = main_tables(SuiteResults(fewer, results.facts))[0]
    assert [line.cells[0].row is None for line in first.lines] == [False, True]
    assert [line.cells[0].best for line in first.lines] == [True, False]


def test_every_direction_has_a_table_and_normal_queries_stay_apart(results: SuiteResults) -> None:
    tables = [*main_tables(results), *more_tables(results)]
    captions = [t.caption for t in tables]
    assert captions[:3] == ["image→text", "text→image", "Classification of images"]
    assert {f"{d}, normal queries" for d in ("image→text", "text→image", "image→image", "text→text")} <= set(
        captions
    )
    for table in tables:
        if "queries" in table.caption:
            assert {key.queries for key in table.columns} == {table.caption.split()[-2]}


def test_the_report_of_patients_says_whose_data_it_holds(results: SuiteResults) -> None:
    assert "patients: handle it" not in render(results)
    corpus = {**results.facts["corpus"], "drawn": False}
    assert "patients: handle it" in render(SuiteResults(results.rows, {**results.facts, "corpus": corpus}))


def test_the_published_objective_is_explained_by_this_runs_triplets(
    results: SuiteResults, parts: PageParts
) -> None:
    section = section_of(render(results, parts), "published")
    assert re.findall(r"<td>(.*?)</td>", section) == ["73 %", "below 1 %", "0", "100 %", "22 %"]
    for words in ("1,234 triplets", "effective rank 6.3", "--methods medtrim,clip,paper"):
        assert words in section
    none = render(results, replace(parts, mining=replace(MINED, triplets=0)))
    assert "admits no triplet" in none


def test_no_figure_of_another_run_is_in_the_report(results: SuiteResults, parts: PageParts) -> None:
    section = section_of(render(results, replace(parts, mining=None)), "published")
    assert "<table" not in section
    assert not re.search(r"\d+ %|seeds|steps of", section)


def test_what_was_run_is_told(results: SuiteResults, parts: PageParts) -> None:
    section = section_of(render(results, parts), "run")
    for words in ("medtrim demo --output demo", "99.2 %", "98.9 %", "400 × 96", "0.02 / 0.003", "medtrim-cxr 1.0"):
        assert words in section


def test_the_same_results_are_the_same_bytes(results: SuiteResults, parts: PageParts) -> None:
    assert render(results, parts) == render(results, parts)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (65, "1 min 05 s"), (59.94, "59.9 s"), (7380, "2 h 03 min")]
)
def test_durations_read_as_said(seconds: float, text: str) -> None:
    assert duration(seconds) == text
