"""What a dual encoder is built from: backbones by name, by folder or from a configuration."""

from __future__ import annotations

from importlib import resources
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medtrim.errors import ModelError
from medtrim.types.yamlfile import load_yaml

PRESETS = ("tiny", "paper")


class ModelConfig(BaseModel):
    """A dual encoder: per side either a pretrained backbone or the arguments of one with random weights.

    Attributes:
        vision: hub name, local folder or `packaged:NAME` (`medtrim encoders list`) of a pretrained vision backbone;
            None builds one from `vision_config`.
        text: the same for the text backbone; its own tokenizer is used.
        pooling: how a map becomes a vector: `native` as the backbone does it, or `zones`, which keeps side and
            height (`medtrim.models.zones`; EfficientNet-Lite alone).
        vision_config: arguments of a transformers configuration, `model_type` among them.
        text_config: the same for the text side; its vocabulary size follows the trained tokenizer.
        projection_dim: D, the dimension of the shared space.
        image_size: side of the square input in pixels.
        max_tokens: longest report in tokens, special ones included; what is beyond is cut.
        vocab_size: largest vocabulary of a tokenizer trained on the corpus (pretrained text sides keep theirs).
        image_mean, image_std: normalisation of intensities in [0, 1] where the backbone brings none.
        temperature: τ at the start; the learned scale begins at 1/τ (Radford et al. 2021: 0.07).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    vision: str | None = None
    text: str | None = None
    vision_config: dict[str, Any] = Field(default_factory=dict)
    text_config: dict[str, Any] = Field(default_factory=dict)
    pooling: Literal["native", "zones"] = "native"
    projection_dim: int = Field(default=512, ge=1)
    image_size: int = Field(default=224, ge=8)
    max_tokens: int = Field(default=128, ge=4)
    vocab_size: int = Field(default=8000, ge=32)
    image_mean: float = 0.5
    image_std: float = Field(default=0.25, gt=0)
    temperature: float = Field(default=0.07, gt=0)

    @model_validator(mode="after")
    def _sides(self) -> Self:
        for side in ("vision", "text"):
            arguments = getattr(self, f"{side}_config")
            if getattr(self, side) is None and "model_type" not in arguments:
                raise ValueError(f"{side}: give a hub name, a folder, or {side}_config with a model_type")
        return self


def load_preset(name: str, **overrides: Any) -> ModelConfig:
    """The packaged preset `name` with some of its keys replaced.

    A side that `overrides` gives by name or folder drops the preset's configuration of that side; nested
    `vision_config` and `text_config` are merged key by key.

    Raises:
        ModelError: there is no such preset, or an override is unknown or out of range.
    """
    if name not in PRESETS:
        raise ModelError(f"no model preset {name!r}; there are: {', '.join(PRESETS)}")
    text = resources.files("medtrim.models").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = load_yaml(text, source=f"preset {name}")
    for side in ("vision", "text"):
        key = f"{side}_config"
        if overrides.get(side):
            values.pop(key, None)
        changed = overrides.get(key)
        if changed and changed.get("model_type", None) in (None, values.get(key, {}).get("model_type")):
            overrides[key] = {**values.get(key, {}), **changed}
        if changed and not overrides.get(side):
            values.pop(side, None)
    try:
        return ModelConfig(**{**values, **overrides})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'model'}: {e['msg']}" for e in error.errors()]
        raise ModelError(f"model preset {name!r}: {'; '.join(lines)}") from error
