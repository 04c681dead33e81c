"""The hub: whether it answers, and how a checkpoint gets there."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError

from medtrim.errors import ModelError
from medtrim.models.checkpoint import FACTS, load_checkpoint

CARD = "README.md"

# What a checkpoint consists of; moments, logs and whatever else lies beside it stay here.
_PATTERNS = (
    "config.json",
    "model*.safetensors",
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
        private: whether a repository that is made for it is private; one that exists stays as it is.
        files: names in the repository.
        size: bytes of them all.
        url: of the commit; None after a dry run.
    """

    repo_id: str
    private: bool
    files: tuple[str, ...]
    size: int
    url: str | None


def push_checkpoint(
    folder: Path | str, repo_id: str, *, card: str, private: bool = True, dry_run: bool = False
) -> Push:
    """Send model, tokenizer, image processor, `medtrim.json` and a model card to the hub, as one commit.

    The repository is made where there is none. Transformers finds in it what its own `push_to_hub` would have sent.

    Args:
        folder: a checkpoint; it is loaded first, so that nothing broken is sent.
        repo_id: OWNER/NAME.
        card: README.md of the repository.
        private: of a repository that is made.
        dry_run: send nothing.

    Raises:
        ModelError: no checkpoint, no such name, no token, no connection, or the hub refuses.
    """
    folder = Path(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise ModelError(f"{repo_id!r} is no hub name: OWNER/NAME is needed")
    load_checkpoint(folder)
    paths = sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)})
    files = (CARD, *(path.name for path in paths))
    size = len(card.encode()) + sum(path.stat().st_size for path in paths)
    url = None if dry_run else _commit(paths, repo_id, card, private=private)
    return Push(repo_id, private, files, size, url)


def _commit(paths: list[Path], repo_id: str, card: str, *, private: bool) -> str:
    if get_token() is None:
        raise ModelError("the hub wants a token that may write: `hf auth login`, or HF_TOKEN in the environment")
    if not hub_answers():
        raise ModelError(f"{constants.ENDPOINT} cannot be reached; nothing was sent")
    operations = [CommitOperationAdd(CARD, card.encode())]
    operations += [CommitOperationAdd(path.name, path) for path in paths]
    api = HfApi()
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(repo_id, operations, commit_message="Push a MedTrim checkpoint")
    except _REFUSALS as error:
        raise ModelError(f"{repo_id} could not be pushed: {error}") from error
    return str(commit.commit_url)


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
    except OSError:
        return False
