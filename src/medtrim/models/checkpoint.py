"""A checkpoint is a plain transformers folder; MedTrim's facts lie beside the weights as JSON."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoTokenizer, VisionTextDualEncoderModel

from medtrim.errors import ModelError
from medtrim.models.dual_encoder import EncoderBundle, check_bundle
from medtrim.models.names import is_local, told_names
from medtrim.models.quiet import quiet
from medtrim.types import Provenance
from medtrim.types.outputs import writing

FACTS = "medtrim.json"


def save_checkpoint(
    bundle: EncoderBundle, folder: Path | str, provenance: Provenance, *, card: str | None = None
) -> Path:
    """Write model (safetensors), tokenizer, image processor and `medtrim.json`.

    The folder appears whole or not at all. A checkpoint that is already there is replaced. `card` becomes
    README.md, the hub's model card.

    Raises:
        ModelError: `folder` holds something that is no checkpoint.
        TableError: the system refuses (no permission, no room).
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").exists():
        raise ModelError(f"{folder} is not empty and holds no checkpoint; choose another folder")
    with writing(folder, SafetensorError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            write_bundle(bundle, part, provenance, card=card)
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o777 & ~umask)
            if folder.exists():
                shutil.rmtree(folder)
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def write_bundle(bundle: EncoderBundle, folder: Path, provenance: Provenance, *, card: str | None = None) -> None:
    """Write the files of a checkpoint into an existing folder.

    Where backbones were loaded from is kept without the folders above them (`told_names`).
    """
    with quiet():
        bundle.model.save_pretrained(folder)
    bundle.tokenizer.save_pretrained(folder)
    bundle.image_processor.save_pretrained(folder)
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        if (told := told_json(path)) is not None:
            path.write_bytes(told)
    facts = json.dumps(asdict(provenance), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / FACTS).write_text(facts + "\n", encoding="utf-8")
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")


def load_checkpoint(source: Path | str) -> EncoderBundle:
    """Model (in eval mode), tokenizer and image processor from a folder or a hub name.

    Only what can be no path here, a text OWNER/NAME without a folder OWNER, is looked up on the hub: a mistyped
    path must not leave the machine.

    Raises:
        ModelError: there is no checkpoint there, it is no dual encoder, or a part of it is missing.
    """
    name, local = str(source), is_local(source)
    if local:
        _check_folder(Path(source))
    try:
        with quiet():
            model = VisionTextDualEncoderModel.from_pretrained(name, local_files_only=local)
            bundle = EncoderBundle(
                model=model.train(False),
                tokenizer=AutoTokenizer.from_pretrained(name, local_files_only=local),
                image_processor=AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                    name, local_files_only=local
                ),
            )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"checkpoint {name!r} cannot be loaded: {error}") from error
    except SafetensorError as error:
        raise ModelError(
            f"checkpoint {name!r} cannot be loaded: its .safetensors file is torn ({error})"
        ) from error
    check_bundle(bundle)
    return bundle


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise ModelError(
            f"{folder}: no checkpoint there; a run's checkpoint lies in OUT/model, a hub's is OWNER/NAME"
        )
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file: a checkpoint is a folder, of a run OUT/model")
    if not (folder / "config.json").exists():
        hint = f"; {folder / 'model'} is one" if (folder / "model" / "config.json").exists() else ""
        raise ModelError(f"{folder} holds no checkpoint (no config.json){hint}")


def told_json(path: Path) -> bytes | None:
    """The JSON file at `path` without the folders above models; None where it names none."""
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    told = told_names(values)
    if told == values:
        return None
    return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()


def read_facts(folder: Path | str) -> Mapping[str, Any]:
    """`medtrim.json` of a checkpoint folder, empty where MedTrim did not write it."""
    path = Path(folder) / FACTS
    if not path.exists():
        return {}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts
