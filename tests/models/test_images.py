from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from medtrim.errors import ModelError
from medtrim.models import input_size, make_image_processor, to_pixel_values


def test_tensor_code_equals_the_processor():
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    processor = make_image_processor(image_size=48, mean=0.45, std=0.2)
    expected = processor(images=[Image.fromarray(i).convert("RGB") for i in images], return_tensors="pt")
    ours = to_pixel_values(torch.from_numpy(images), processor)
    torch.testing.assert_close(ours, expected["pixel_values"])


def test_resized_pixels_are_close_to_pillows():
    smooth = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    processor = make_image_processor(image_size=48, mean=0.5, std=0.25)
    expected = processor(images=[Image.fromarray(smooth).convert("RGB")], return_tensors="pt")["pixel_values"]
    ours = to_pixel_values(torch.from_numpy(smooth[None]), processor)
    assert (ours - expected).abs().max() < 1.01 / 255 / 0.25, "Pillow rounds to whole grey levels"


def test_float_images_pass_without_rescaling():
    processor = make_image_processor(image_size=8, mean=0.0, std=1.0)
    images = torch.rand(2, 8, 8)
    assert torch.equal(to_pixel_values(images, processor)[:, 1], images)


def test_processor_that_makes_oblong_images_is_refused():
    processor = make_image_processor(image_size=8, mean=0.0, std=1.0)
    processor.size = {"height": 8, "width": 16}
    with pytest.raises(ModelError, match="square"):
        input_size(processor)
