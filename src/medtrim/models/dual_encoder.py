"""Building transformers' `VisionTextDualEncoderModel` with its tokenizer and image processor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    BaseImageProcessor,
    EfficientNetModel,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from medtrim.errors import ModelError
from medtrim.models.config import ModelConfig, load_preset
from medtrim.models.images import channel_statistics, input_size, make_image_processor
from medtrim.models.packaged import is_packaged, packaged_folder
from medtrim.models.quiet import quiet
from medtrim.models.tokenizer import train_wordpiece
from medtrim.models.zones import zone_pooled


@dataclass(slots=True)
class EncoderBundle:
    """A dual encoder with what turns reports and images into its inputs."""

    model: VisionTextDualEncoderModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return input_size(self.image_processor)

    @property
    def fit(self) -> Literal["pad", "crop", "lungs"]:
        """How films are brought into the square the image processor takes (`medtrim.data.load_square`)."""
        return getattr(self.image_processor, "fit", "pad")

    @property
    def equalize(self) -> bool:
        """Whether their histogram is equalised then."""
        return bool(getattr(self.image_processor, "equalize", False))

    @property
    def reads(self) -> Literal["report", "findings"]:
        """What the text side takes: reports as they are, or the findings that OBER reads in them."""
        return getattr(self.model.config, "reads", "report")

    @property
    def max_tokens(self) -> int:
        """The longest token sequence that tokenizer and text backbone both take."""
        positions = getattr(self.model.config.text_config, "max_position_embeddings", None)
        limit = int(self.tokenizer.model_max_length)
        return min(limit, int(positions)) if positions else limit


def build_dual_encoder(
    preset: str | ModelConfig, *, texts: pa.ChunkedArray | Iterable[str] = (), seed: int
) -> EncoderBundle:
    """A `VisionTextDualEncoderModel` by preset or configuration.

    Args:
        preset: the name of a packaged preset or a configuration.
        texts: training reports from which a tokenizer is learned where the text side is not pretrained.
        seed: of all weights that are not pretrained; PyTorch's global generator is left as it was.

    Raises:
        ModelError: a backbone cannot be loaded, its pooled output is no vector a study, or it does not take
            the image size.
    """
    config = load_preset(preset) if isinstance(preset, str) else preset
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = _tokenizer(config, texts)
        text = _text_side(config, tokenizer)
        processor = _image_processor(config)
        vision = _vision_side(config, image_size=input_size(processor))
        dual = VisionTextDualEncoderConfig(
            vision_config=vision.config.to_dict(),
            text_config=text.config.to_dict(),
            projection_dim=config.projection_dim,
            logit_scale_init_value=-math.log(config.temperature),
        )
        model = VisionTextDualEncoderModel(config=dual, vision_model=vision, text_model=text)
    bundle = EncoderBundle(model=model, tokenizer=tokenizer, image_processor=processor)
    check_bundle(bundle)
    return bundle


def check_bundle(bundle: EncoderBundle) -> None:
    """Run one blank study through both sides.

    Raises:
        ModelError: a side refuses its input or returns no pooled vector of its hidden size.
    """
    model = bundle.model
    tokens = bundle.tokenizer("x", return_tensors="pt").to(model.device)
    channels = len(channel_statistics(bundle.image_processor).mean)
    pixels = torch.zeros(1, channels, bundle.image_size, bundle.image_size, device=model.device, dtype=model.dtype)
    was_training = model.training
    model.train(False)
    try:
        with torch.no_grad():
            pooled = {
                "vision": model.vision_model(pixel_values=pixels).pooler_output,
                "text": model.text_model(**tokens).pooler_output,
            }
    except (ValueError, RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(
            f"the backbones do not take a {bundle.image_size} px image and a report: {error}"
        ) from error
    finally:
        model.train(was_training)
    for side, vector in pooled.items():
        hidden = int(getattr(model.config, f"{side}_config").hidden_size)
        if vector is None or tuple(vector.shape) != (1, hidden):
            shape = None if vector is None else tuple(vector.shape)
            raise ModelError(f"{side} backbone: a pooled vector of shape (1, {hidden}) is needed, got {shape}")


def _tokenizer(config: ModelConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    if config.text is None:
        return train_wordpiece(texts, vocab_size=config.vocab_size, max_tokens=config.max_tokens)
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, config.text, "tokenizer")
    tokenizer.model_max_length = min(config.max_tokens, tokenizer.model_max_length)
    return tokenizer


def _image_processor(config: ModelConfig) -> BaseImageProcessor:
    if config.vision is None:
        return make_image_processor(image_size=config.image_size, mean=config.image_mean, std=config.image_std)
    found = _load(AutoImageProcessor, config.vision, "image processor")
    # Only the statistics are the backbone's: cached X-rays are square already, and the size is the recipe's.
    statistics = channel_statistics(found)
    return make_image_processor(image_size=config.image_size, mean=statistics.mean, std=statistics.std)


def _vision_side(config: ModelConfig, *, image_size: int) -> PreTrainedModel:
    if config.vision is not None:
        found = _load(AutoConfig, config.vision, "vision backbone")
        # A CLIP-like folder holds two towers; the dual encoder takes the vision one.
        backbone = _load(AutoModel, config.vision, "vision backbone", config=_with_hidden_size(found))
        tower = getattr(backbone, "vision_model", backbone)
    else:
        tower = _from_arguments({**config.vision_config, "image_size": image_size}, "vision")
    if config.pooling == "zones":
        tower = zone_pooled(_efficientnet(tower, image_size))
    _with_hidden_size(tower.config)
    return tower  # type: ignore[no-any-return]


def _efficientnet(tower: PreTrainedModel, image_size: int) -> EfficientNetModel:
    if not isinstance(tower, EfficientNetModel):
        raise ModelError(f"model.pooling: zones is for EfficientNet-Lite, not for {type(tower).__name__}")
    tower.config.image_size = image_size
    return tower


def _text_side(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    if config.text is not None:
        return _load(AutoModel, config.text, "text backbone")  # type: ignore[no-any-return]
    arguments = {
        "max_position_embeddings": config.max_tokens,
        "pad_token_id": tokenizer.pad_token_id,
        **config.text_config,
        "vocab_size": len(tokenizer),
    }
    return _from_arguments(arguments, "text")


def _from_arguments(arguments: dict[str, Any], side: str) -> PreTrainedModel:
    arguments = dict(arguments)
    model_type = arguments.pop("model_type")
    try:
        config = AutoConfig.for_model(model_type, **arguments)
        return AutoModel.from_config(_with_hidden_size(config))  # type: ignore[no-any-return, no-untyped-call]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{side} backbone {model_type!r}: {error}") from error


def _with_hidden_size(config: PretrainedConfig) -> PretrainedConfig:
    # The dual encoder reads `hidden_size`; hierarchical backbones have a list of sizes instead. A further attribute
    # of a configuration is written to config.json and read back, so plain `from_pretrained` finds it there.
    sizes = getattr(config, "hidden_sizes", None)
    if sizes and getattr(config, "hidden_size", None) is None:
        config.hidden_size = sizes[-1]
    if getattr(config, "hidden_dim", None) and getattr(config, "hidden_size", None) is None:
        config.hidden_size = config.hidden_dim  # EfficientNet's name for it
    return config


def _load(loader: Any, name: str, what: str, **options: Any) -> Any:
    source = packaged_folder(name) if is_packaged(name) else name
    try:
        with quiet():
            return loader.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{what} {name!r} cannot be loaded: {error}") from error
