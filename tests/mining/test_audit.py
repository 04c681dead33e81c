"""The audit's figures against plain loops, its page, and triplets that do not belong to the annotations."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from medtrim.errors import TableError
from medtrim.mining import audit_measures as measure
from medtrim.mining.audit import audit_triplets, read_audit_input
from medtrim.mining.audit_page import PageOptions, choose_triplets, render_page
from medtrim.mining.audit_reading import read_shown_annotations, read_shown_studies
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.reading import read_encoded
from medtrim.mining.recipe import Recipe
from medtrim.types import (
    DEFAULT_CONTRADICTIONS,
    Annotation,
    Finding,
    Mention,
    OntologyRef,
    Provenance,
    Study,
    Triplet,
    schemas,
)
from medtrim.types.tables import (
    annotations_to_table,
    read_table,
    studies_to_table,
    triplets_to_table,
    write_table,
)

ONTOLOGY = OntologyRef("chest", "1", "abc")
HOSTILE = "</script><script>alert(1)</script> 𝄞 small effusion"


@pytest.fixture
def mined(drawn, tmp_path):
    """A folder with annotations, studies and triplets; the last two studies have no finding at all."""
    corpus = [*drawn(80), Annotation("e1"), Annotation("e2")]
    write_table(annotations_to_table(corpus), tmp_path / "a.parquet", Provenance("annotations", ontology=ONTOLOGY))
    studies = [Study(a.study_id, "P", findings=f"report of {a.study_id}", impression="same words") for a in corpus]
    write_table(studies_to_table(studies), tmp_path / "s.parquet", Provenance("studies"))
    read = read_encoded(tmp_path / "a.parquet")
    options = CorpusConfig(strategy="stratified", attribute_hard=0.5, positives=2)
    triplets = mine_corpus(read.encoded, options, seed=1)
    made = read.provenance(Recipe("corpus", options).to_dict(), 1, triplets.counts)
    write_table(triplets.to_table(read.encoded.study_ids), tmp_path / "t.parquet", made)
    return tmp_path, corpus, triplets


def diseases(annotation):
    return {f.disease for f in annotation.findings if f.assertion != "absent"}


def described(annotation):
    found = {}
    for f in annotation.findings:
        if f.assertion != "absent":
            found.setdefault(f.disease, set()).update(f.adjectives + f.directions)
    return found


def test_figures_equal_plain_loops(mined):
    folder, corpus, triplets = mined
    data = read_audit_input(folder / "t.parquet", folder / "a.parquet")
    np.testing.assert_array_equal(data.indices, triplets.indices)
    figures = audit_triplets(data).figures
    rows = [[corpus[i] for i in row] for row in triplets.indices]
    total = len(rows)
    for column, role in ((1, "positive"), (2, "negative")):
        pairs = [(row[0], row[column]) for row in rows]
        shares = figures["agreement"][role]
        assert shares["same_diseases"] == pytest.approx(sum(diseases(a) == diseases(o) for a, o in pairs) / total)
        assert shares["shares_disease"] == pytest.approx(
            sum(bool(diseases(a) & diseases(o)) for a, o in pairs) / total
        )
        assert shares["normal"] == pytest.approx(sum(not diseases(o) for _, o in pairs) / total)
        for axis in DEFAULT_CONTRADICTIONS.axes:
            contrary = sum(
                any(
                    DEFAULT_CONTRADICTIONS.conflict(axis, described(a)[d], described(o)[d])
                    for d in diseases(a) & diseases(o)
                )
                for a, o in pairs
            )
            assert shares[f"conflict_{axis}"] == pytest.approx(contrary / total)
    for d in figures["diseases"]:
        having = [
            a for a in corpus if (d["disease"] in diseases(a) or (d["disease"] == "no finding") > bool(diseases(a)))
        ]
        assert d["studies"] == len(having)
        ids = {a.study_id for a in having}
        assert d["anchor_share"] == pytest.approx(sum(row[0].study_id in ids for row in rows) / total)
    anchors = {row[0].study_id for row in rows}
    for d in figures["descriptors"]:
        field = {"adjective": "adjectives", "direction": "directions"}[d["kind"]]
        having = {
            a.study_id
            for a in corpus
            for f in a.findings
            if f.assertion != "absent" and d["descriptor"] in getattr(f, field)
        }
        assert (d["studies"], d["anchors"]) == (len(having), len(having & anchors))
    assert sum(figures["kinds"].values()) == figures["triplets"] == total
    assert sum(figures["margin"]["counts"]) == total
    assert figures["mined"]["counts"] == dict(triplets.counts)
    assert figures["corpus"]["without_any_finding"] == sum(not a.findings for a in corpus)
    json.dumps(figures, allow_nan=False)


def test_uses_add_up(mined):
    _, corpus, triplets = mined
    folder = mined[0]
    uses = audit_triplets(read_audit_input(folder / "t.parquet", folder / "a.parquet")).figures["uses"]["negative"]
    counts = np.bincount(triplets.indices[:, 2], minlength=len(corpus))
    assert uses["most"] == counts.max() == uses["most_used"][0]["uses"]
    assert uses["studies"] == (counts > 0).sum()
    assert [h["studies"] for h in uses["histogram"][:2]] == [(counts == 0).sum(), (counts == 1).sum()]
    assert sum(h["studies"] for h in uses["histogram"]) == len(corpus)


def test_doubtful_negatives_are_found(mined):
    folder, corpus, triplets = mined
    data = read_audit_input(folder / "t.parquet", folder / "a.parquet")
    reports = [f"clear lungs, number {i % 2}" for i in range(len(corpus))]
    audit = audit_triplets(data, reports=reports)
    a, _, n = triplets.indices.T
    np.testing.assert_array_equal(audit.near_identical, a % 2 == n % 2)
    np.testing.assert_array_equal(audit.unread, [not corpus[i].findings for i in n])
    doubts = audit.figures["doubtful_negatives"]
    assert doubts["near_identical_report"] == pytest.approx((a % 2 == n % 2).mean())
    assert doubts["without_any_finding"] == pytest.approx(audit.unread.mean())
    assert audit_triplets(data).figures["doubtful_negatives"]["near_identical_report"] is None


def test_near_identical_reports():
    ten = "a b c d e f g h i j"
    found = measure.near_identical([ten, ten, ten, "", "A, b."], [ten, ten[:-2], ten[:-4], "", "a B"])
    assert found.tolist() == [True, True, False, False, True]


class DataOf(HTMLParser):
    """What a browser would find in the page: the elements, and the JSON."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside, self.text = "", ""
        self.feed(page)
        self.content = json.loads(self.text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") or "" if tag == "script" else ""

    def handle_data(self, data):
        if self.inside == "data":
            self.text += data


def page_of(folder, **options):
    data = read_audit_input(folder / "t.parquet", folder / "a.parquet")
    known = read_shown_studies(folder / "s.parquet", data.corpus.encoded.study_ids)
    audit = audit_triplets(data, reports=known.reports)
    shown = PageOptions(**{"triplets": 20, **options})
    rows = choose_triplets(data, audit, shown)
    ids = [data.corpus.encoded.study_ids[i] for i in np.unique(data.indices[rows])]
    page = render_page(
        data,
        audit,
        rows,
        annotations=read_shown_annotations(folder / "a.parquet", ids),
        studies=known.studies(ids),
        thumbnail=lambda study: study.study_id.encode() if study.study_id != "s1" else None,
        options=shown,
    )
    return data, audit, rows, page


def test_the_page_holds_what_was_chosen_and_loads_nothing(mined):
    data, _, rows, page = page_of(mined[0])
    read = DataOf(page)
    assert sum(tag == "script" for tag, _ in read.tags) == 2
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not [a for _, attributes in read.tags for a in ("src", "href") if a in attributes]
    assert "P" not in {study.get("patient") for study in read.content["studies"]}
    ids = data.corpus.encoded.study_ids
    for row, shown in zip(rows, read.content["triplets"], strict=True):
        assert [read.content["studies"][i]["id"] for i in shown["studies"]] == [ids[i] for i in data.indices[row]]
        assert shown["kind"] == data.kind[row]
        assert shown["negative_score"] == data.negative_score[row]
    assert read.content["studies"][0]["sections"]["findings"].startswith("report of ")
    assert all((s["image"] is None) == (s["id"] == "s1") for s in read.content["studies"])


def test_a_report_cannot_break_out_of_the_page(tmp_path):
    at = HOSTILE.index("small")
    mention = Mention("findings", at, at + 5, "small", "adjective")
    left = Finding("pleural effusion", "present", ("small",), ("left",), (mention,))
    corpus = [Annotation("a", (left,)), Annotation("b", (left,)), Annotation("c", (Finding("edema", "absent"),))]
    write_table(annotations_to_table(corpus), tmp_path / "a.parquet", Provenance("annotations"))
    studies = [Study(s.study_id, "P", findings=HOSTILE) for s in corpus]
    write_table(studies_to_table(studies), tmp_path / "s.parquet", Provenance("studies"))
    triplets = [Triplet("a", "b", "c", 1.0, 0.0)]
    write_table(triplets_to_table(triplets), tmp_path / "t.parquet", Provenance("triplets"))
    *_, page = page_of(tmp_path)
    read = DataOf(page)
    assert sum(tag == "script" for tag, _ in read.tags) == 2
    study = read.content["studies"][0]
    section, start, end, role = study["findings"][0]["mentions"][0]
    assert study["sections"][section][start:end] == "small"
    assert role == "adjective"
    assert read.content["triplets"][0]["doubts"] == ["the reports of anchor and negative are nearly identical"]


def test_choice_is_seeded_and_even_over_kinds(mined):
    folder, *_ = mined
    data, audit, rows, _ = page_of(folder)
    doubtful = audit.unread | audit.near_identical
    assert doubtful[rows].sum() <= 4
    kinds = {data.kind[row] for row in rows}
    assert kinds == set(data.kind)
    np.testing.assert_array_equal(page_of(folder)[2], rows)
    assert set(page_of(folder, seed=3)[2]) != set(rows)
    assert len(page_of(folder, triplets=10_000)[2]) <= len(data.indices)


def test_triplets_of_other_annotations_are_refused(mined, drawn):
    folder, corpus, _ = mined
    with pytest.raises(TableError, match="2 study id.*are not in the annotations: 's0'"):
        write_table(annotations_to_table(corpus[2:]), folder / "x.parquet", Provenance("annotations"))
        read_audit_input(folder / "t.parquet", folder / "x.parquet")
    other = Provenance("annotations", ontology=dataclasses.replace(ONTOLOGY, version="2", hash="def"))
    write_table(annotations_to_table(corpus), folder / "x.parquet", other)
    with pytest.raises(TableError, match="ontology chest 1.*chest 2"):
        read_audit_input(folder / "t.parquet", folder / "x.parquet")
    again = [*drawn(80, seed=5), *corpus[80:]]
    write_table(annotations_to_table(again), folder / "x.parquet", Provenance("annotations", ontology=ONTOLOGY))
    with pytest.raises(TableError, match="positive score.*not those of these annotations"):
        read_audit_input(folder / "t.parquet", folder / "x.parquet")
    table = read_table(folder / "t.parquet", schemas.TRIPLETS, table="triplets").slice(0, 0)
    write_table(table, folder / "x.parquet", Provenance("triplets"))
    with pytest.raises(TableError, match="holds no triplet"):
        read_audit_input(folder / "x.parquet", folder / "a.parquet")


def test_studies_that_are_missing_are_named(mined):
    folder, corpus, _ = mined
    write_table(studies_to_table([Study("s0", "P")]), folder / "x.parquet", Provenance("studies"))
    with pytest.raises(TableError, match="81 annotated study.*missing: s1"):
        read_shown_studies(folder / "x.parquet", [a.study_id for a in corpus])
