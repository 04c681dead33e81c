from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from medtrim.training.augment import augment, draw_augmentation
from medtrim.training.config import AugmentConfig

OFF = dict.fromkeys(("rotate", "translate", "scale", "contrast", "brightness", "gamma", "noise", "blur"), 0.0)


def images(count=3, side=24):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8))


def changed(pixels, config, seed=(1, 2)):
    return augment(pixels, config, draw_augmentation(len(pixels), config, seed=seed), seed=seed)


def test_all_off_changes_nothing():
    assert torch.equal(changed(images(), AugmentConfig(**OFF)), images().float() / 255)


@pytest.mark.parametrize("name", sorted(OFF))
def test_each_part_changes_pixels_and_stays_in_range(name):
    amount = {"rotate": 20.0, "blur": 1.5}.get(name, 0.3)  # degrees, pixels, shares
    out = changed(images(), AugmentConfig(**{**OFF, name: amount}))
    assert out.shape == images().shape
    assert (out - images() / 255).abs().max() > 0.01
    assert 0 <= out.min() <= out.max() <= 1


def test_same_seed_same_images_and_noise():
    config = AugmentConfig(gamma=0.2, blur=1.0)
    assert torch.equal(changed(images(), config), changed(images(), config))
    assert not torch.equal(changed(images(), config), changed(images(), config, seed=(1, 3)))


def test_a_rank_draws_its_part_of_the_whole():
    config = AugmentConfig(noise=0.0)
    whole = changed(images(6), config)
    draw = draw_augmentation(6, config, seed=(1, 2))
    part = augment(images(6)[2:4], config, draw.part(2, 4), seed=(1, 2))
    torch.testing.assert_close(part, whole[2:4])


def test_left_stays_left():
    """A bright patch on one side never comes out on the other, whatever is drawn."""
    film = torch.zeros(200, 32, 32, dtype=torch.uint8)
    film[:, 12:20, 3:9] = 255
    out = changed(film, AugmentConfig(rotate=15, translate=0.1, scale=0.2, contrast=0, brightness=0, noise=0))
    left, right = out[:, :, :16].sum((1, 2)), out[:, :, 16:].sum((1, 2))
    assert bool((left > 2 * right).all())


def test_translation_moves_by_the_drawn_share():
    film = torch.zeros(1, 20, 20, dtype=torch.uint8)
    film[0, 10, 10] = 255
    config = AugmentConfig(**{**OFF, "translate": 0.25})
    draw = draw_augmentation(1, config, seed=(5,))
    out = augment(film, config, draw, seed=(5,))[0]
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    centre = ((out * columns).sum() / out.sum(), (out * rows).sum() / out.sum())
    # The grid says where each output pixel looks, so content moves the other way; its unit is half a side.
    assert centre[0].item() == pytest.approx(10 - draw.shift_x.item() * 10, abs=0.02)
    assert centre[1].item() == pytest.approx(10 - draw.shift_y.item() * 10, abs=0.02)
    assert max(abs(draw.shift_x.item()), abs(draw.shift_y.item())) <= 0.5


def test_blur_is_close_to_pillows():
    pixels = images(1, 40)
    config = AugmentConfig(**{**OFF, "blur": 1.5})
    draw = draw_augmentation(1, config, seed=(3,))
    ours = augment(pixels, config, draw, seed=(3,))[0, 6:-6, 6:-6]
    blurred = Image.fromarray(pixels[0].numpy()).filter(ImageFilter.GaussianBlur(draw.blur.item()))
    theirs = torch.from_numpy(np.asarray(blurred, dtype=np.float32))[6:-6, 6:-6] / 255
    plain = pixels[0, 6:-6, 6:-6].float() / 255
    assert (ours - theirs).abs().mean() < 0.15 * (ours - plain).abs().mean()
