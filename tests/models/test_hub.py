from __future__ import annotations

import urllib.error
from types import SimpleNamespace

import pytest

from medtrim.errors import ModelError
from medtrim.models import hub, save_checkpoint
from medtrim.models.hub import push_checkpoint
from medtrim.types import Provenance


@pytest.fixture
def folder(tmp_path, tiny):
    made = save_checkpoint(tiny, tmp_path / "model", Provenance(kind="checkpoint"), card="# old\n")
    (made / "optimizer.pt").write_text("moments")
    (made / "notes.txt").write_text("a patient's name")
    (made / "state").mkdir()
    return made


class Api:
    """Stands for the hub; keeps what it was sent."""

    def __init__(self, refuse=None):
        self.made, self.sent, self.refuse = [], {}, refuse

    def create_repo(self, repo_id, *, private, exist_ok):
        if self.refuse is not None:
            raise self.refuse
        self.made.append((repo_id, private, exist_ok))

    def create_commit(self, repo_id, operations, *, commit_message):
        for operation in operations:
            with operation.as_file() as file:
                self.sent[operation.path_in_repo] = file.read()
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


@pytest.fixture
def api(monkeypatch):
    stand_in = Api()
    monkeypatch.setattr(hub, "HfApi", lambda: stand_in)
    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    return stand_in


def test_sends_the_checkpoint_with_its_card_and_nothing_else(folder, api):
    pushed = push_checkpoint(folder, "owner/name", card="# new\n")
    assert api.made == [("owner/name", True, True)]
    assert sorted(api.sent) == [
        "README.md",
        "config.json",
        "medtrim.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert api.sent["README.md"] == b"# new\n"
    assert api.sent["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert sorted(pushed.files) == sorted(api.sent)
    assert pushed.size == sum(map(len, api.sent.values()))
    assert pushed.url == "https://hub/owner/name/commit/1"
    push_checkpoint(folder, "owner/name", card="", private=False)
    assert api.made[-1] == ("owner/name", False, True)


def test_a_dry_run_sends_nothing_and_needs_no_token(folder, api, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    planned = push_checkpoint(folder, "owner/name", card="# new\n", dry_run=True)
    assert planned.url is None
    assert "model.safetensors" in planned.files
    assert not api.made


def test_what_is_missing_is_said(folder, api, monkeypatch, tmp_path):
    with pytest.raises(ModelError, match="'name' is no hub name"):
        push_checkpoint(folder, "name", card="")
    with pytest.raises(ModelError, match="no checkpoint there"):
        push_checkpoint(tmp_path / "nowhere", "owner/name", card="")
    api.refuse = OSError("403 Forbidden")
    with pytest.raises(ModelError, match="could not be pushed: 403 Forbidden"):
        push_checkpoint(folder, "owner/name", card="")
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ModelError, match="cannot be reached; nothing was sent"):
        push_checkpoint(folder, "owner/name", card="")
    monkeypatch.setattr(hub, "get_token", lambda: None)
    with pytest.raises(ModelError, match="HF_TOKEN"):
        push_checkpoint(folder, "owner/name", card="")
    assert not api.sent


def test_whoever_answers_is_there(monkeypatch):
    answers = {"error": urllib.error.HTTPError("https://hub", 500, "broken", {}, None)}

    def ask(*args, **options):
        raise answers["error"]

    monkeypatch.setattr(hub.urllib.request, "urlopen", ask)
    assert hub.hub_answers()
    for error in (urllib.error.URLError(ConnectionRefusedError()), TimeoutError()):
        answers["error"] = error
        assert not hub.hub_answers()
