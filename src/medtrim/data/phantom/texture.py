"""Tileable random textures, made once for each image size and shared by all cases."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medtrim.data.phantom.frame import Array
from medtrim.data.phantom.world import World


def window(kind: str, world: World, size: int, shape: tuple[int, ...], at: tuple[float, float]) -> Array:
    """A view [shape] into a texture, its corner at the fractions `at` of the spare room.

    `cloud` and `fluff` have mean 0 and deviation 1, smooth or ragged; `net` is a mesh of thin lines in [0, 1].
    """
    whole = texture(kind, world, size)
    top = int(at[0] * (whole.shape[0] - shape[0]))
    left = int(at[1] * (whole.shape[1] - shape[1]))
    return whole[top : top + shape[0], left : left + shape[1]]


@lru_cache(maxsize=16)
def texture(kind: str, world: World, size: int) -> Array:
    """The whole texture, [2·size 2·size]: random phases under a power law, the same phases at every size."""
    fine = 4 if kind == "net" and size <= 160 else 1
    noise = _noise(kind, world, 2 * size * fine)
    if kind == "net":
        # The zero crossings of band-limited noise are closed lines of even width.
        noise = np.maximum(1.0 - np.abs(noise) * 2.6, 0.0)
        noise = noise.reshape(2 * size, fine, 2 * size, fine).mean(axis=(1, 3))
    picture: Array = noise.astype(np.float32)
    picture.flags.writeable = False
    return picture


def _noise(kind: str, world: World, side: int) -> npt.NDArray[np.float64]:
    slope, low, high = world.spectra[kind]
    base = 2 * (high + 1)
    if base > side:
        raise ValueError(f"texture {kind} needs {base} samples, got {side}")
    phases = np.exp(2j * np.pi * np.random.Generator(np.random.PCG64(world.texture)).random((base, base)))
    frequency = np.fft.fftfreq(base, 1.0 / base).astype(int)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    amplitude = np.where((radius >= low) & (radius <= high), np.maximum(radius, 1.0) ** slope, 0.0)
    spectrum = np.zeros((side, side), np.complex128)
    spectrum[np.ix_(frequency, frequency)] = phases * amplitude
    noise: npt.NDArray[np.float64] = np.fft.ifft2(spectrum).real
    noise -= noise.mean()
    noise /= noise.std()
    return noise
