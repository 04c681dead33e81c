"""Random changes of training images as tensor code on the training device. Never a mirror: side carries meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from medtrim.training.config import AugmentConfig


@dataclass(frozen=True, slots=True)
class AugmentDraw:
    """What was drawn for each image of a batch; every field is [B]."""

    angle: Tensor
    shift_x: Tensor
    shift_y: Tensor
    zoom: Tensor
    contrast: Tensor
    brightness: Tensor
    gamma: Tensor
    blur: Tensor

    def part(self, start: int, stop: int) -> AugmentDraw:
        """The draw of images `start` to `stop`."""
        return AugmentDraw(*(getattr(self, name)[start:stop] for name in self.__slots__))


def draw_augmentation(count: int, config: AugmentConfig, *, seed: tuple[int, ...]) -> AugmentDraw:
    """Draw the changes of `count` images from a generator of their own.

    The whole global batch is drawn on the CPU and each rank takes its part, so that the draw depends neither on
    the number of ranks nor on the device, and a resumed run draws the same.
    """
    generator = torch.Generator().manual_seed(_mix(seed))
    uniform = torch.rand(8, count, generator=generator) * 2 - 1
    return AugmentDraw(
        angle=uniform[0] * math.radians(config.rotate),
        shift_x=uniform[1] * 2 * config.translate,
        shift_y=uniform[2] * 2 * config.translate,
        zoom=1 + uniform[3] * config.scale,
        contrast=1 + uniform[4] * config.contrast,
        brightness=uniform[5] * config.brightness,
        gamma=torch.exp(uniform[6] * config.gamma),
        blur=uniform[7].abs() * config.blur,
    )


def augment(images: Tensor, config: AugmentConfig, draw: AugmentDraw, *, seed: tuple[int, ...]) -> Tensor:
    """Changed copies of grayscale images.

    Args:
        images: uint8 [B H W].
        config: the range of each change.
        draw: as `draw_augmentation` gives for these images.
        seed: of the noise, which is drawn on the images' device.

    Returns:
        float32 [B H W] in [0, 1].
    """
    pixels = images.float() / 255.0
    if config.rotate or config.translate or config.scale:
        pixels = _affine(pixels, draw)
    if config.blur:
        pixels = _blur(pixels, draw.blur.to(pixels.device), config.blur)
    if config.gamma:
        pixels = pixels.clamp_min(1e-6) ** draw.gamma.to(pixels.device).view(-1, 1, 1)
    if config.contrast or config.brightness:
        contrast, brightness = (x.to(pixels.device).view(-1, 1, 1) for x in (draw.contrast, draw.brightness))
        pixels = (pixels - 0.5) * contrast + 0.5 + brightness
    if config.noise:
        generator = torch.Generator(device=pixels.device).manual_seed(_mix(seed))
        noise = torch.empty_like(pixels).normal_(0.0, config.noise, generator=generator)
        pixels = pixels + noise
    return pixels.clamp(0.0, 1.0)


def _affine(pixels: Tensor, draw: AugmentDraw) -> Tensor:
    cos, sin = torch.cos(draw.angle) / draw.zoom, torch.sin(draw.angle) / draw.zoom
    matrix = torch.stack([cos, -sin, draw.shift_x, sin, cos, draw.shift_y], dim=1).view(-1, 2, 3)
    batch = pixels.unsqueeze(1)
    grid = affine_grid(matrix.to(pixels.device), list(batch.shape), align_corners=False)
    # Outside the film there is no X-ray: the border's own value is continued rather than black edges drawn in.
    return grid_sample(batch, grid, mode="bilinear", padding_mode="border", align_corners=False).squeeze(1)


def _blur(pixels: Tensor, sigma: Tensor, largest: float) -> Tensor:
    reach = max(1, math.ceil(2 * largest))
    offsets = torch.arange(-reach, reach + 1, device=pixels.device, dtype=pixels.dtype)
    # A deviation below a tenth of a pixel is no blur; the bound keeps the exponent finite.
    kernel = torch.exp(-(offsets**2) / (2 * sigma.clamp_min(0.1).view(-1, 1) ** 2))
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    count, side = len(pixels), 2 * reach + 1
    batch = pad(pixels.unsqueeze(0), (reach,) * 4, mode="replicate")
    batch = conv2d(batch, kernel.view(count, 1, 1, side), groups=count)
    return conv2d(batch, kernel.view(count, 1, side, 1), groups=count).squeeze(0)


def _mix(seed: tuple[int, ...]) -> int:
    """One 63-bit seed of several numbers."""
    mixed = 0
    for part in seed:
        mixed = (mixed * 6364136223846793005 + part + 1442695040888963407) % (1 << 63)
    return mixed
