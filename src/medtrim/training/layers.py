"""The layers of a backbone, whatever its architecture: for freezing and for learning rates by depth."""

from __future__ import annotations

from torch import nn
from transformers import VisionTextDualEncoderModel

from medtrim.errors import ConfigError


def layers_of(backbone: nn.Module) -> tuple[str, list[nn.Module]]:
    """The backbone's stack of layers and its name: the outermost list of two or more modules.

    Transformers have their blocks there, hierarchical convolutional networks their stages.
    """
    stacks = [
        (name, module)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) >= 2
    ]
    if not stacks:
        return "", []
    name, stack = min(stacks, key=lambda item: (item[0].count("."), -len(item[1])))
    return name, list(stack)


def freeze_first_layers(model: VisionTextDualEncoderModel, count: int) -> list[str]:
    """Stop the gradients of both sides' embeddings and `count` first layers; returns the frozen parameters' names.

    Raises:
        ConfigError: a side has fewer layers.
    """
    if not count:
        return []
    for side in ("vision", "text"):
        backbone = getattr(model, f"{side}_model")
        _, layers = layers_of(backbone)
        if len(layers) < count:
            raise ConfigError(f"model.freeze_layers is {count}, but the {side} backbone has {len(layers)} layers")
        frozen = [m for n, m in backbone.named_children() if "embed" in n] + layers[:count]
        for module in frozen:
            module.requires_grad_(False)
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def depth_of(name: str, model: VisionTextDualEncoderModel) -> int:
    """How many layers lie above the parameter `name` of the dual encoder: 0 for heads, most for embeddings."""
    for side in ("vision", "text"):
        prefix = f"{side}_model."
        if not name.startswith(prefix):
            continue
        inner = name.removeprefix(prefix)
        stack, layers = layers_of(getattr(model, f"{side}_model"))
        if stack and inner.startswith(stack + "."):
            return len(layers) - int(inner.removeprefix(stack + ".").split(".")[0])
        return len(layers) + 1 if "embed" in inner.split(".")[0] else 0
    return 0
