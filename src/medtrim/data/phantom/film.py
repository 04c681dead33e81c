"""From attenuation to film: quantum noise, tone curve, collimation, side marker."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medtrim.data.phantom.case import Technique
from medtrim.data.phantom.frame import Array, detector_grid, unit
from medtrim.data.phantom.world import World

GRAINS = 2**20  # places at which a film's noise may start
GLYPHS = {
    "L": ("1....", "1....", "1....", "1....", "1....", "1....", "11111"),
    "R": ("1111.", "1...1", "1...1", "1111.", "1.1..", "1..1.", "1...1"),
}


def expose(
    attenuation: Array, technique: Technique, rng: np.random.Generator, world: World
) -> npt.NDArray[np.uint8]:
    """The film's grey values, [size size] uint8, bone bright.

    Grey is a logistic curve of attenuation (the characteristic curve of film), a linear one (a digital detector) or
    a logarithmic one (a storage plate). Edges are enhanced, or blurred where the world's `edges` is negative;
    quantum noise grows with attenuation, as fewer photons reach the detector.
    """
    size = attenuation.shape[0]
    across, along = detector_grid(size)
    # Noise per pixel is scaled so that a coarse pixel, which gathers more photons, is less noisy.
    sigma = technique.noise * float(np.sqrt(size / 128.0))
    grain = _grain(size, int(rng.integers(GRAINS)))
    film = attenuation + np.float32(technique.heel) * along
    film += grain * (np.float32(0.35 * sigma) + np.float32(0.32 * sigma) * film)
    if world.scatter or world.edges:
        blurred = _blurred(film, max(1, round(0.04 * size)))
        film += np.float32(world.edges) * (film - blurred) + np.float32(world.scatter) * (film.mean() - film)
    centre, width = world.curve[0] + technique.exposure, world.curve[1] / technique.contrast
    film -= np.float32(centre)
    if world.tone in ("linear", "logarithmic"):
        film = unit(film * np.float32(0.18 / width) + np.float32(0.5))
        if world.tone == "logarithmic":
            film = np.log1p(film * np.float32(2.0)) * np.float32(1.0 / np.log(3.0))
        film *= np.float32(248.0)
    else:
        film *= np.float32(-1.0 / width)
        np.exp(film, out=film)
        film += np.float32(1.0)
        np.divide(np.float32(248.0), film, out=film)
    film += np.float32(4.0)
    collimate(film, technique, across, along)
    mark(film, technique, world)
    return film.astype(np.uint8)


def _blurred(film: Array, radius: int) -> Array:
    """The mean over a square of 2 · `radius` + 1 pixels, edges repeated."""
    for axis in (0, 1):
        padded = np.pad(film, [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        sums = padded.cumsum(axis=axis, dtype=np.float64)
        width, count = 2 * radius + 1, film.shape[axis]
        last, before = sums.take(range(width, width + count), axis), sums.take(range(count), axis)
        film = ((last - before) / width).astype(np.float32)
    return film


def _grain(size: int, start: int) -> Array:
    """Gaussian noise [size size]: a stretch of one long shared sequence, far cheaper than drawing it anew."""
    return _grains(size * size)[start : start + size * size].reshape(size, size)


@lru_cache(maxsize=4)
def _grains(pixels: int) -> Array:
    noise = np.random.Generator(np.random.PCG64(20240502)).standard_normal(GRAINS + pixels, dtype=np.float32)
    noise.flags.writeable = False
    return noise


def collimate(film: Array, technique: Technique, across: Array, along: Array) -> None:
    """Blacken what the collimator's blades hid: a fraction of the film at left, top, right and bottom."""
    size = film.shape[0]
    left, top, right, bottom = (round(f * size) for f in technique.collimation)
    for strip in (np.s_[:, :left], np.s_[:top], np.s_[:, size - right :], np.s_[size - bottom :]):
        film[strip] *= np.float32(0.05)


def mark(film: Array, technique: Technique, world: World) -> None:
    """Burn in the side marker, if there is one, at the edge of its own side."""
    if not technique.marker:
        return
    glyph = _glyph(technique.marker, film.shape[0])
    size, (height, width) = film.shape[0], glyph.shape
    top = int(world.marker[0] * size)
    left = int(0.06 * size) if technique.marker == "R" else int(0.94 * size) - width
    patch = film[top : top + height, left : left + width]
    np.maximum(patch, glyph * np.float32(world.marker[1]), out=patch)


@lru_cache(maxsize=32)
def _glyph(letter: str, size: int) -> Array:
    """The marker's letter, about a twentieth of the film high."""
    rows = GLYPHS[letter]
    bitmap = np.array([[c == "1" for c in row] for row in rows], np.float32)
    height = max(5, round(size * 0.05))
    width = max(4, round(height * 5 / 7))
    i = (np.arange(height) + 0.5) * len(rows) / height
    j = (np.arange(width) + 0.5) * 5 / width
    glyph: Array = bitmap[i.astype(int)[:, None], j.astype(int)[None, :]]
    return glyph
