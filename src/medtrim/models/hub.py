"""The hub: whether it answers, and how a checkpoint gets there."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from medtrim.errors import ModelError
from medtrim.models.checkpoint import FACTS, load_checkpoint, told_json

CARD = "README.md"

# What a checkpoint consists of; moments, logs and whatever else lies beside it stay here.
_PATTERNS = (
    "config.json",
    "model.safetensors",
    "model-?????-of-?????.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    FACTS,
)
_SECONDS = 5.0
# The library behind the hub's client has changed more than once; its errors are a base of the client's own.
_REFUSALS: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Push:
    """What was sent to the hub, or would be.

    Attributes:
        repo_id: OWNER/NAME.
        private: whether nobody else sees the repository; of one that exists as it is, not as it was asked for.
        exists: whether there is such a repository already; None where the hub could not be asked.
        contents: name in the repository → its content, or the file that holds it.
        url: of the commit; None before it is sent.
    """

    repo_id: str
    private: bool
    exists: bool | None
    contents: Mapping[str, bytes | Path]
    url: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names in the repository."""
        return tuple(self.contents)

    @property
    def size(self) -> int:
        """Bytes of them all."""
        return sum(len(c) if isinstance(c, bytes) else c.stat().st_size for c in self.contents.values())


def plan_push(
    folder: Path | str, repo_id: str, *, card: Callable[[int], str], private: bool = True, dry_run: bool = False
) -> Push:
    """Everything about a push but the push: the checkpoint is loaded, the hub asked whether the repository exists.

    Model, tokenizer, image processor, `medtrim.json` and a model card are sent. Folders of this machine that an
    older checkpoint names as what its model was loaded from stay here but for their last part.

    Args:
        folder: a checkpoint; it is loaded, so that nothing broken is sent.
        repo_id: OWNER/NAME.
        card: side of the model's input in pixels → README.md of the repository.
        private: of a repository that is made; False also allows one that exists and is public.
        dry_run: nothing will be sent: neither a token nor a connection is needed.

    Raises:
        ModelError: no checkpoint, no such name, no token, no connection, or a public repository of that name.
    """
    folder = Path(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise ModelError(f"{repo_id!r} is no hub name: OWNER/NAME is needed")
    bundle = load_checkpoint(folder)
    paths = sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)})
    contents: dict[str, bytes | Path] = {CARD: card(bundle.image_size).encode()}
    contents |= {path.name: (told_json(path) if path.suffix == ".json" else None) or path for path in paths}
    if not dry_run and get_token() is None:
        raise ModelError("the hub wants a token that may write: `hf auth login`, or HF_TOKEN in the environment")
    if not hub_answers():
        if not dry_run:
            raise ModelError(f"{constants.ENDPOINT} cannot be reached; nothing was sent")
        return Push(repo_id, private, None, contents)
    public = _is_public(repo_id)
    if public and private:
        raise ModelError(
            f"{repo_id} exists already and is public: everybody could have the model. Push to another name, make "
            "it private on the hub, or say --public"
        )
    return Push(repo_id, private if public is None else not public, public is not None, contents)


def send_push(planned: Push) -> Push:
    """Send what was planned, as one commit; the repository is made where there is none.

    Transformers finds in it what its own `push_to_hub` would have sent.

    Raises:
        ModelError: the hub refuses.
    """
    operations = [CommitOperationAdd(name, content) for name, content in planned.contents.items()]
    api = HfApi()
    try:
        api.create_repo(planned.repo_id, private=planned.private, exist_ok=True)
        commit = api.create_commit(planned.repo_id, operations, commit_message="Push a MedTrim checkpoint")
    except _REFUSALS as error:
        raise ModelError(f"{planned.repo_id} could not be pushed: {error}") from error
    return replace(planned, url=str(commit.commit_url))


def _is_public(repo_id: str) -> bool | None:
    """Whether everybody sees the repository; None where there is none, or none that we may see."""
    try:
        return not HfApi().repo_info(repo_id).private
    except RepositoryNotFoundError:
        return None
    except _REFUSALS as error:
        raise ModelError(f"{repo_id} could not be looked up: {error}") from error


def hub_answers() -> bool:
    """Whether somebody answers at the hub's address, through the proxy that the environment names."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # A certificate that Python does not know is no reason: the hub's client may know it.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError, http.client.HTTPException):  # the last two: the address itself is wrong
        return False
