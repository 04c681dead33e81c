"""`medtrim ontology`: lint, coverage, show."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import MedTrimError

RUNNER = CliRunner()


def test_lint_of_the_default_is_clean() -> None:
    result = RUNNER.invoke(app, ["ontology", "lint"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "no problems" in result.output


def test_lint_exits_one_and_names_the_term(tmp_path: Path) -> None:
    overlay = tmp_path / "o.yaml"
    overlay.write_text("findings: {another: {terms: [effusion]}}")
    result = RUNNER.invoke(app, ["ontology", "lint", "--ontology", str(overlay)], catch_exceptions=False)
    assert result.exit_code == 1
    assert "ambiguous" in result.output
    assert "effusion" in result.output


def test_coverage_lists_unknown_phrases(tmp_path: Path) -> None:
    reports = tmp_path / "r.csv"
    reports.write_text(
        "study_id,patient_id,findings,impression\n" + "".join(f"{k},1,Fluffy opacity.,\n" for k in "abc")
    )
    result = RUNNER.invoke(app, ["ontology", "coverage", str(reports)], catch_exceptions=False)
    assert "fluffy" in result.output
    assert "50.0%" in result.output


def test_show_a_finding_a_descriptor_and_a_slip() -> None:
    assert "nodule, mass" in RUNNER.invoke(app, ["ontology", "show", "lung lesion"], catch_exceptions=False).output
    assert "bibasilar" in RUNNER.invoke(app, ["ontology", "show", "basal"], catch_exceptions=False).output
    with pytest.raises(MedTrimError, match="'pneumonia'"):
        RUNNER.invoke(app, ["ontology", "show", "pneumona"], catch_exceptions=False)
