"""`medtrim explain`: from a file and from standard input, terminal and page."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import MedTrimError

RUNNER = CliRunner()
REPORT = "FINDINGS: Small left effusion. No pneumothorax.\nIMPRESSION: Cannot exclude edema."


def test_standard_input_is_read_and_findings_numbered() -> None:
    result = RUNNER.invoke(app, ["explain"], input=REPORT, catch_exceptions=False)
    assert result.exit_code == 0
    assert "effusion[1]" in result.output
    assert "pneumothorax[2]" in result.output
    assert "Cannot exclude" in result.output


def test_brackets_of_a_report_are_no_markup(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("Seen by [**Name**] [red]small[/red] effusion [/bold].")
    result = RUNNER.invoke(app, ["explain", str(path)], catch_exceptions=False)
    assert "[red]small[/red] effusion[1] [/bold]" in result.output


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MedTrimError, match="r.txt: there is no such file"):
        RUNNER.invoke(app, ["explain", str(tmp_path / "r.txt")], catch_exceptions=False)


def test_the_page_is_written(tmp_path: Path) -> None:
    path, page = tmp_path / "r.txt", tmp_path / "page.html"
    path.write_text(REPORT)
    RUNNER.invoke(app, ["explain", str(path), "--html", str(page)], catch_exceptions=False)
    html = page.read_text()
    assert "pleural effusion" in html
    assert 'data-f="1"' in html


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00effusion\xff"])
def test_an_unreadable_report_is_an_error_that_does_not_quote_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.txt"
    path.write_bytes(content)
    with pytest.raises(MedTrimError, match="r.txt") as caught:
        RUNNER.invoke(app, ["explain", str(path)], catch_exceptions=False)
    assert "effusion" not in str(caught.value)
