"""The ontology: the default one, its coverage of published word lists, overlays, lint, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medtrim.entities import Recognizer, load_ontology
from medtrim.entities.lint import lint_ontology
from medtrim.entities.matcher import find_matches
from medtrim.entities.tokens import tokenize
from medtrim.errors import OntologyError
from medtrim.types import DEFAULT_CONTRADICTIONS, DISEASES, SIDES, ZONES


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_ontology_is_clean() -> None:
    assert lint_ontology(load_ontology()) == ()


def test_it_knows_the_canonical_vocabulary() -> None:
    ontology = load_ontology()
    reported = {root for concept in ontology.concepts.values() for root in concept.reports_as}
    assert set(DISEASES) <= reported
    assert {*SIDES, *ZONES} <= set(ontology.descriptors)
    assert ontology.contradictions.axes == DEFAULT_CONTRADICTIONS.axes


def test_the_hash_is_of_the_content() -> None:
    ontology = load_ontology()
    assert len(ontology.hash) == 64
    assert ontology.hash == load_ontology().hash
    assert ontology.ref.hash == ontology.hash


def test_every_word_of_the_published_lists_is_known(shared: Path) -> None:
    lists = json.loads((shared / "data" / "authors_word_lists.json").read_text())
    lexicon = Recognizer().reader.lexicon
    words = [w for name in ("DISEASE", "ADJECTIVE", "LUNG_DIRECTION", "DELETE_SENTENCE") for w in lists[name]]
    words += [w for name in ("DISEASE_MAPPING", "ADJECTIVE_MAPPING") for w in lists[name]]
    unknown = [w for w in dict.fromkeys(words) if not find_matches(tokenize(w), lexicon)]
    assert unknown == []


def test_a_mass_is_reported_as_a_lung_lesion() -> None:
    assert load_ontology().concepts["mass"].reports_as == ("lung lesion",)
    assert load_ontology().concepts["hydropneumothorax"].reports_as == ("pneumothorax", "pleural effusion")


def test_an_overlay_adds_terms_and_concepts(tmp_path: Path) -> None:
    path = overlay(
        tmp_path,
        """
name: our-site
version: "2"
findings:
  pleural effusion: {terms: [wet lung rim]}
  mesothelioma: {category: pleura, parents: [pleural other], terms: [mesothelioma]}
adjectives:
  gigantic: {axis: size, terms: [gigantic]}
""",
    )
    ontology = load_ontology(path)
    assert (ontology.name, ontology.version) == ("medtrim-cxr+our-site", "1.0+2")
    assert ontology.hash != load_ontology().hash
    found = Recognizer(ontology).annotate_text("Gigantic left wet lung rim. No mesothelioma.")
    assert [(f.disease, f.assertion, f.adjectives, f.directions) for f in found] == [
        ("pleural effusion", "present", ("gigantic",), ("left",)),
        ("pleural other", "absent", (), ()),
    ]
    assert Recognizer().annotate_text("Gigantic left wet lung rim.") == ()


def test_an_overlay_removes_terms_and_discards_entries(tmp_path: Path) -> None:
    path = overlay(tmp_path, "findings: {edema: {remove: [fluid overload]}}\ndiscard: {findings: [hernia]}")
    recognizer = Recognizer(load_ontology(path))
    assert recognizer.annotate_text("Fluid overload. Hiatal hernia. Edema.")[0].disease == "edema"
    assert len(recognizer.annotate_text("Fluid overload. Hiatal hernia. Edema.")) == 1


def test_a_concept_may_go_without_plurals(tmp_path: Path) -> None:
    path = overlay(tmp_path, "findings: {new one: {terms: [zygon], inflect: false}, other: {terms: [quux]}}")
    recognizer = Recognizer(load_ontology(path))
    assert [f.disease for f in recognizer.annotate_text("zygon, zygons, quux, quuxes")] == [
        "new one",
        "other",
        "other",
    ]


def test_overlays_are_laid_in_order(tmp_path: Path) -> None:
    first = overlay(tmp_path, "findings: {new one: {terms: [zygon]}}")
    second = tmp_path / "second.yaml"
    second.write_text("findings: {new one: {parents: [edema]}}")
    (found,) = Recognizer(load_ontology(first, second)).annotate_text("zygon")
    assert found.disease == "edema"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding: {}", "unknown key 'finding', is 'findings' meant"),
        ("findings: {edema: {term: [x]}}", "unknown key 'term', is 'terms' meant\\? \\(allowed"),
        ("findings: {edema: {terms: [1]}}", "a term must be a word or phrase, found 1"),
        ("findings: {edema: {terms: word}}", "must be a list"),
        ("findings: {a: {parents: [b]}}", "'a' has the parent 'b', which is not among the findings"),
        ("findings: {a: {parents: [b]}, b: {parents: [a]}}", "parents form a cycle: a → b → a"),
        ("findings: {a: {category: heat}}", "category 'heat' is not among"),
        ("cues: {negatoin: [nix]}", "unknown key 'negatoin', is 'negation' meant"),
        ("compounds: {x: {means: [leftish], terms: [x]}}", "means 'leftish', which is no descriptor"),
        ("compositions: [{finding: x, anatomy: [heart], change: enlargement}]", "'x' is not among the findings"),
        ("compositions: [{finding: edema, anatomy: [heart]}]", "lacks 'change'"),
        ("axes: {side: {portside: 0}}", "'portside', which is no descriptor"),
        ("discard: {findings: [nothing]}", "findings has no 'nothing'"),
        ("findings: [edema]", "findings must be a mapping"),
        ("- edema", "expected a mapping of sections"),
    ],
)
def test_a_malformed_overlay_is_an_error_that_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OntologyError, match=message):
        load_ontology(overlay(tmp_path, text))


def test_lint_finds_each_kind_of_problem(tmp_path: Path) -> None:
    path = overlay(
        tmp_path,
        """
findings:
  fresh: {terms: [edema]}
  doubled: {terms: [quux, Quux]}
  pluralised: {terms: [zork, zorks]}
  nameless: {}
adjectives:
  wordless: {axis: size}
""",
    )
    found = {(issue.problem, issue.term) for issue in lint_ontology(load_ontology(path))}
    assert found == {
        ("ambiguous", "edema"),
        ("ambiguous", "edemas"),
        ("unreachable", "edema"),
        ("duplicate", "Quux"),
        ("duplicate", "zorks"),
        ("no terms", "nameless"),
        ("no terms", "wordless"),
    }
