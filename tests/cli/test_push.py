"""`medtrim push`, as a user runs it, without a hub."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
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


@pytest.fixture
def api(monkeypatch):
    """Stands for the hub, where `owner/name` is `api.private` or, with None, is not."""
    made = SimpleNamespace(private=None, sent=[])

    def repo_info(repo_id):
        if made.private is None:
            response = httpx.Response(404, request=httpx.Request("GET", "https://hub"))
            raise RepositoryNotFoundError("there is none", response=response)
        return made

    def create_commit(repo_id, operations, *, commit_message):
        made.sent.append(operations[0].path_or_fileobj)
        return SimpleNamespace(commit_url="url")

    made.repo_info, made.create_commit = repo_info, create_commit
    made.create_repo = lambda repo_id, *, private, exist_ok: made.sent.append(private)
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(hub, "HfApi", lambda: made)
    return made


def told(result):
    return " ".join(result.output.split())


def test_a_dry_run_lists_the_files_and_warns(folder, monkeypatch):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    result = push(folder, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "permission" in told(result)
    assert "lists words of the reports in clear" in told(result)
    assert "owner/name (private if it is new; whether it exists could not be asked)" in told(result)
    for name in ("README.md", "model.safetensors", "medtrim.json"):
        assert name in told(result)


def test_asks_before_it_sends_and_loads_the_checkpoint_once(folder, api, monkeypatch):
    loaded = []
    real = hub.load_checkpoint
    monkeypatch.setattr(hub, "load_checkpoint", lambda source: loaded.append(source) or real(source))
    assert push(folder, answer="n\n").exit_code == 1
    assert not api.sent
    assert len(loaded) == 1
    assert push(folder, answer="y\n").exit_code == 0
    assert len(loaded) == 2
    assert "sent → url" in push(folder, "--public", "--yes").output
    assert api.sent == [True, b"at owner/name\n", False, b"at owner/name\n"]


def test_who_sees_the_repository_is_told_as_it_is(folder, api):
    assert "owner/name (private, new)" in told(push(folder, "--dry-run"))
    api.private = True
    assert "owner/name (private, exists already)" in told(push(folder, "--dry-run", "--public"))
    api.private = False
    assert "owner/name (public, exists already)" in told(push(folder, "--dry-run", "--public"))
    refused = push(folder, "--yes")
    assert isinstance(refused.exception, ModelError)
    assert "exists already and is public" in str(refused.exception)
    assert not api.sent


def test_without_a_token_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    result = push(folder, "--yes")
    assert isinstance(result.exception, ModelError)
    assert "hf auth login" in str(result.exception)
