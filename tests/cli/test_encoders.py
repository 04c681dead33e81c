from __future__ import annotations

from typer.testing import CliRunner

from medtrim.cli import app


def test_encoders_of_both_kinds_are_listed_with_where_they_come_from():
    result = CliRunner().invoke(app, ["encoders", "list"])
    assert result.exit_code == 0, result.output
    assert "packaged:efficientnet-lite0\n    vision, 4 M parameters, Apache 2.0, installed: " in result.output
    assert "microsoft/rad-dino" in result.output
    assert "pip install 'medtrim[encoders]'" in result.output
