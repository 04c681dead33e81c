"""The image side's preprocessing: as a transformers image processor for files, as tensor code for cached pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import BaseImageProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from medtrim.errors import ModelError


def make_image_processor(
    *, image_size: int, mean: float | Sequence[float], std: float | Sequence[float]
) -> BaseImageProcessor:
    """Resize to `image_size` squared, rescale to [0, 1], normalise.

    Pillow does the work, so torchvision is not needed. It is saved as a `ViTImageProcessor`,
    which every transformers installation can load.
    """
    return ViTImageProcessorPil(
        size={"height": image_size, "width": image_size}, image_mean=_channels(mean), image_std=_channels(std)
    )


def _channels(value: float | Sequence[float]) -> list[float]:
    return list(value) if isinstance(value, Sequence) else [value] * 3


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What an image processor subtracts from intensities in [0, 1] and divides them by, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def channel_statistics(processor: BaseImageProcessor) -> ChannelStatistics:
    """The statistics of `processor`.

    Raises:
        ModelError: it has none, or not one of each per channel.
    """
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if not mean or not std or len(mean) != len(std):
        raise ModelError(f"the image processor has no usable mean and standard deviation ({mean}, {std})")
    return ChannelStatistics(tuple(map(float, mean)), tuple(map(float, std)))


def input_size(processor: BaseImageProcessor) -> int:
    """Side in pixels of the square images that `processor` makes.

    Raises:
        ModelError: it makes none that are square.
    """
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None)
    sides = {int(size[k]) for k in ("height", "width", "shortest_edge") if size and size.get(k)}
    if len(sides) != 1:
        raise ModelError(f"the image processor makes no square images (size {size})")
    return sides.pop()


def to_pixel_values(images: Tensor, processor: BaseImageProcessor) -> Tensor:
    """Model input from cached pixels: what `processor` gives for the same square image, on `images`' device.

    Args:
        images: uint8 [B H W] or float [B H W] in [0, 1] (augmented ones), grayscale.
        processor: gives size, mean and standard deviation.

    Returns:
        float32 [B 3 S S], the three channels alike.
    """
    pixels = images.unsqueeze(1)
    pixels = pixels.float() / 255.0 if images.dtype == torch.uint8 else pixels
    side = input_size(processor)
    if tuple(pixels.shape[-2:]) != (side, side):
        pixels = torch.nn.functional.interpolate(
            pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
    statistics = channel_statistics(processor)
    mean = pixels.new_tensor(statistics.mean).view(1, -1, 1, 1)
    std = pixels.new_tensor(statistics.std).view(1, -1, 1, 1)
    return (pixels - mean) / std
