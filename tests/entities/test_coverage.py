"""Coverage: what a corpus says near findings that the ontology does not know."""

from __future__ import annotations

from medtrim.entities import load_ontology
from medtrim.entities.coverage import measure_coverage
from medtrim.types import Study


def test_unknown_phrases_near_findings_are_counted() -> None:
    texts = ["Fluffy cotton opacity. Weather is nice today."] * 3 + ["A fluffy effusion. No edema."]
    found = measure_coverage([Study(str(k), "", findings=t) for k, t in enumerate(texts)], load_ontology())
    assert [(p.phrase, p.count, p.reports) for p in found.unknown] == [
        ("fluffy", 4, 4),
        ("cotton", 3, 3),
        ("fluffy cotton", 3, 3),
    ]
    assert (found.reports, found.sentences) == (4, 8)
    assert (found.words, found.known) == (3 * 3 + 2 + 1, 3 * 1 + 1 + 1)


def test_phrases_counted_in_one_report_twice_are_in_one_report() -> None:
    found = measure_coverage([Study("a", "", findings="Zzz opacity. Zzz opacity.")], load_ontology(), least=2)
    assert [(p.phrase, p.count, p.reports) for p in found.unknown] == [("zzz", 2, 1)]
