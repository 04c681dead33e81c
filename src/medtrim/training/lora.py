"""Low-rank adapters through peft, merged into plain weights for every checkpoint that is shared."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import VisionTextDualEncoderModel

from medtrim.errors import ConfigError
from medtrim.training.config import LoraConfig

# Trained in full beside the adapters: new layers, and the scale, which is one number.
HEADS = ("visual_projection", "text_projection", "logit_scale")


def add_lora(model: VisionTextDualEncoderModel, config: LoraConfig, *, seed: int) -> None:
    """Put adapters W + (α / r) · B A beside the linear layers named by `config.targets` and freeze the rest.

    A starts at random from `seed`, B at 0. The model stays a `VisionTextDualEncoderModel`; the
    projections and the scale are trained in full. Hu et al. 2021, https://arxiv.org/abs/2106.09685.

    Raises:
        ConfigError: peft is not installed, or no layer has one of the names.
    """
    peft = _peft()
    options = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(options, model)
        except ValueError as error:
            raise ConfigError(f"lora.targets {list(config.targets)}: {error}") from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or name.split(".")[0] in HEADS)


def merged(model: VisionTextDualEncoderModel) -> VisionTextDualEncoderModel:
    """A copy of `model` whose adapters are added into its weights: plain transformers again.

    A model without adapters is returned as it is.
    """
    if not any("lora_" in name for name, _ in model.named_parameters()):
        return model
    layer_type = _peft().tuners.lora.LoraLayer
    plain = copy.deepcopy(model)
    adapted = [name for name, module in plain.named_modules() if isinstance(module, layer_type)]
    for name in adapted:
        module = plain.get_submodule(name)
        module.merge()  # type: ignore[operator]
        parent, _, child = name.rpartition(".")
        setattr(plain.get_submodule(parent), child, module.base_layer)
    return plain.requires_grad_(True)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ConfigError("lora needs peft: pip install 'medtrim[lora]'") from error
    return peft
