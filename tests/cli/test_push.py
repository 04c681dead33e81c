"""`medtrim push`, as a user runs it, without a hub."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.errors import ModelError
from medtrim.models import build_dual_encoder, hub, load_preset, save_checkpoint
from medtrim.types import Provenance


@pytest.fixture
def folder(tmp_path):
    bundle = build_dual_encoder(load_preset("tiny"), texts=["No acute disease."], seed=0)
    return save_checkpoint(bundle, tmp_path / "model", Provenance(kind="checkpoint"), card="at THIS_FOLDER\n")


def push(folder, *words, answer=""):
    return CliRunner().invoke(app, ["push", str(folder), "owner/name", *words], input=answer)


def test_a_dry_run_lists_the_files_and_warns(folder):
    result = push(folder, "--dry-run")
    assert result.exit_code == 0, result.output
    told = result.output.replace("\n", " ")
    assert "permission" in told
    assert "owner/name (private)" in told
    for name in ("README.md", "model.safetensors", "medtrim.json"):
        assert name in told


def test_asks_before_it_sends(folder, monkeypatch):
    sent = []
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(
        hub, "_commit", lambda paths, repo_id, card, *, private: sent.append((card, private)) or "url"
    )
    assert push(folder, answer="n\n").exit_code == 1
    assert not sent
    assert push(folder, answer="y\n").exit_code == 0
    assert "sent → url" in push(folder, "--public", "--yes").output
    assert sent == [("at owner/name\n", True), ("at owner/name\n", False)]


def test_without_a_token_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    result = push(folder, "--yes")
    assert isinstance(result.exception, ModelError)
    assert "hf auth login" in str(result.exception)
