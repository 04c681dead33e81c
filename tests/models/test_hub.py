from __future__ import annotations

import http.client
import json
import urllib.error
from types import SimpleNamespace

import httpx
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from medtrim.errors import ModelError
from medtrim.models import hub, save_checkpoint
from medtrim.models.hub import plan_push, send_push
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
        self.repositories = {}  # name → whether it is private

    def repo_info(self, repo_id):
        if repo_id not in self.repositories:
            response = httpx.Response(404, request=httpx.Request("GET", "https://hub"))
            raise RepositoryNotFoundError("there is none", response=response)
        return SimpleNamespace(private=self.repositories[repo_id])

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


def push_checkpoint(folder, repo_id, *, card, **options):
    return send_push(plan_push(folder, repo_id, card=lambda image_size: card, **options))


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
    planned = plan_push(folder, "owner/name", card="{} px".format, dry_run=True)
    assert planned.url is None
    assert planned.contents["README.md"] == b"64 px"
    assert "model.safetensors" in planned.files
    assert (planned.private, planned.exists) == (True, False)
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    assert plan_push(folder, "owner/name", card=str, dry_run=True).exists is None
    assert not api.made


def test_a_repository_that_is_public_stays_public_only_when_that_is_meant(folder, api):
    api.repositories = {"owner/open": False, "owner/closed": True}
    for dry_run in (False, True):
        with pytest.raises(ModelError, match="owner/open exists already and is public"):
            plan_push(folder, "owner/open", card=str, dry_run=dry_run)
    found = {
        name: plan_push(folder, f"owner/{name}", card=str, private=private)
        for name, private in (("open", False), ("closed", False), ("new", False))
    }
    assert {name: (p.private, p.exists) for name, p in found.items()} == {
        "open": (False, True),
        "closed": (True, True),
        "new": (False, False),
    }
    assert not api.made


def test_the_hub_may_refuse_to_say_who_sees_a_repository(folder, api, monkeypatch):
    def refuse(repo_id):
        raise OSError("500")

    monkeypatch.setattr(api, "repo_info", refuse)
    with pytest.raises(ModelError, match="could not be looked up: 500"):
        plan_push(folder, "owner/name", card=str)


def test_folders_of_the_machine_do_not_leave_it(folder, api):
    for name, key in (("config.json", "vision_config"), ("medtrim.json", "config")):
        values = json.loads((folder / name).read_text())
        values[key] |= {"_name_or_path": "/home/somebody/vit"} if name == "config.json" else {}
        values[key] |= {"model": {"checkpoint": "/home/somebody/runs/model"}} if name == "medtrim.json" else {}
        (folder / name).write_text(json.dumps(values))
    (folder / "model-of-somebody.safetensors").write_text("")
    push_checkpoint(folder, "owner/name", card="")
    assert not any(b"somebody" in content for content in api.sent.values())
    assert json.loads(api.sent["config.json"])["vision_config"]["_name_or_path"] == "vit"
    assert json.loads(api.sent["medtrim.json"])["config"]["model"]["checkpoint"] == "model"
    assert "model-of-somebody.safetensors" not in api.sent


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
    wrong_address = (ValueError("unknown url type"), http.client.InvalidURL("nonnumeric port"))
    for error in (urllib.error.URLError(ConnectionRefusedError()), TimeoutError(), *wrong_address):
        answers["error"] = error
        assert not hub.hub_answers()
