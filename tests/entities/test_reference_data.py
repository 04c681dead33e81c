"""Quality on reference data: expert codes of real reports, and negated concepts in clinical sentences."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from medtrim.entities import Recognizer, assert_span
from medtrim.types import Study


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def scorer(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_entities", shared / "tools" / "score_entities.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_micro_f1_against_the_expert_codes_of_real_reports(shared: Path, recognizer: Recognizer) -> None:
    tool: Any = scorer(shared)
    rows = tool.read_reports(shared / "data" / "openi" / "NLMCXR_reports_dev.tgz")
    predictions = {}
    for row in rows:
        findings = recognizer.annotate(Study(row["uid"], "", findings=row["text"])).findings
        predictions[row["uid"]] = tool.predicted_findings(
            [
                {
                    "disease": f.disease,
                    "assertion": f.assertion,
                    "adjectives": f.adjectives,
                    "directions": f.directions,
                }
                for f in findings
            ]
        )
    totals, _, _, missing = tool.score(rows, predictions)
    reached = {kind: tool.prf(count)["f1"] for kind, count in totals.items()}
    assert missing == 0
    assert reached["disease"] >= 0.94
    assert reached["laterality"] >= 0.95
    assert reached["location"] >= 0.92
    assert reached["adjective"] >= 0.89


def span_of(concept: str, sentence: str) -> tuple[int, int] | None:
    """Where `concept` stands in `sentence`, in capitals if anywhere, whatever the white space."""
    for words, flags in ((concept.upper().split(), 0), (concept.split(), re.IGNORECASE)):
        match = re.search(r"\s+".join(map(re.escape, words)), sentence, flags)
        if match:
            return match.span()
    return None


def test_accuracy_on_negated_and_affirmed_concepts(shared: Path, recognizer: Recognizer) -> None:
    with (shared / "data" / "negation" / "negex_dev.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    right = 0
    for row in rows:
        span = span_of(row["concept"], row["sentence"])
        if span is None:
            continue  # counts as wrong
        verdict = assert_span(row["sentence"], *span, lexicon=recognizer.reader.lexicon)
        # That corpus calls what is past, resolved or asked for affirmed.
        negated = verdict.reason in ("negation", "normal")
        right += negated == (row["label"] == "Negated")
    assert len(rows) > 1000
    assert right / len(rows) >= 0.97
