from __future__ import annotations

import ast
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtrim.data import ImageLimits, fit_square, load_image, load_square
from medtrim.data.images import IMAGE_FORMATS
from medtrim.errors import ConfigError, ImageError

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_eight_bit_gray_is_returned_as_it_is(tmp_path):
    loaded = load_image(save(tmp_path / "a.png", RAMP))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, RAMP)


def test_sixteen_bits_are_scaled_between_percentiles(tmp_path):
    values = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 3) + 1000
    loaded = load_image(save(tmp_path / "a.png", values))
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.array([[min(255, max(0, round((v - low) / (high - low) * 255))) for v in row] for row in values])
    assert np.abs(loaded.astype(int) - expected).max() <= 1


def test_colour_transparency_palette_and_one_bit(tmp_path):
    colour = np.stack([RAMP, RAMP // 2, RAMP // 4], axis=-1)
    luminance = np.rint(colour @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(load_image(save(tmp_path / "rgb.png", colour)) - luminance).max() <= 1
    alpha = np.where(np.arange(64) < 32, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8)
    over_black = load_image(save(tmp_path / "la.png", np.stack([RAMP, RAMP, RAMP, alpha], axis=-1)))
    assert (over_black[:, :32] == 0).all()
    np.testing.assert_array_equal(over_black[:, 32:], RAMP[:, 32:])
    Image.fromarray(RAMP).convert("P").save(tmp_path / "p.png")
    np.testing.assert_array_equal(load_image(tmp_path / "p.png"), RAMP)
    Image.fromarray(RAMP > 100).save(tmp_path / "one.png")
    assert set(np.unique(load_image(tmp_path / "one.png"))) == {0, 255}


def test_exif_rotation_is_applied(tmp_path):
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert load_image(tmp_path / "a.png").shape == (64, 48)


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size and holds next to nothing: what a decompression bomb looks like from outside."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"GIF, honestly", "no image in a known format"),
        (png_header(9500, 9500), "more than the 80,000,000"),
        (png_header(200_000, 200_000), "more than the 80,000,000"),
        (png_header(4000, 100), "ratio"),
        (png_header(300, 300), "cannot be decoded"),
        (png_header(1, 1), "1 × 1"),
        (png_header(0, 10), "empty|known format|decoded"),
    ],
)
def test_absurd_files_are_errors_with_the_study(tmp_path, content, reason):
    path = tmp_path / "secret_name.png"
    path.write_bytes(content)
    for load in (load_image, lambda p, **kw: load_square(p, 32, **kw)):
        with pytest.raises(ImageError, match=reason) as caught:
            load(path, study_id="s7")
        assert caught.value.study_id == "s7"
        assert "secret" not in str(caught.value)


def test_missing_constant_truncated_and_too_large(tmp_path):
    with pytest.raises(ImageError, match="'gone'.*missing"):
        load_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="constant"):
        load_image(save(tmp_path / "c.png", np.full((64, 64), 7, np.uint8)))
    with pytest.raises(ImageError, match="constant"):
        load_image(save(tmp_path / "c16.png", np.full((64, 64), 700, np.uint16)))
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    whole = save(tmp_path / "j.jpg", noise).read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="decoded"):
        load_image(tmp_path / "half.jpg")
    with pytest.raises(ImageError, match="bytes"):
        load_image(tmp_path / "j.jpg", limits=ImageLimits(max_bytes=100))
    with pytest.raises(ImageError, match="no regular file"):
        load_image(tmp_path)


def test_pad_keeps_everything_and_crop_fills_the_square():
    tall = np.full((80, 40), 200, np.uint8)
    padded = fit_square(tall, 20, fit="pad")
    assert padded.shape == (20, 20)
    assert (padded[:, 5:15] == 200).all()
    assert (padded[:, :5] == 0).all()
    assert (padded[:, 15:] == 0).all()
    assert (fit_square(tall, 20, fit="crop") == 200).all()
    with pytest.raises(ConfigError, match="pad, crop"):
        fit_square(tall, 20, fit="stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(33, 64), (64, 33), (17, 80), (50, 50)])
@pytest.mark.parametrize("size", [1, 7, 32, 100])
def test_square_whatever_the_shape(fit, shape, size):
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    assert fit_square(image, size, fit=fit).shape == (size, size)


def test_left_stays_left(tmp_path):
    pixels = np.zeros((400, 400), np.uint8)
    pixels[:, :100] = 255
    for path in (save(tmp_path / "a.png", pixels), save(tmp_path / "a.jpg", pixels)):
        square = load_square(path, 32)
        assert square[:, :6].mean() > 240
        assert square[:, 12:].mean() < 15


def test_reduced_jpeg_decoding_stays_close_to_the_whole(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).resize((1200, 1000)))
    path = save(tmp_path / "a.jpg", smooth, quality=90)
    whole = fit_square(load_image(path), 64)
    assert np.abs(load_square(path, 64).astype(int) - whole).mean() < 2


@pytest.mark.parametrize("name", ["EPS", "BMP", "GIF", "PPM", "TGA", "PCX", "ICO"])
def test_only_the_closed_list_of_formats_is_decoded(tmp_path, name):
    """Pillow's other decoders never see a file, whatever its name; EPS would start Ghostscript."""
    path = tmp_path / "film.png"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(path, name)
    with pytest.raises(ImageError, match=r"no image in a known format \(PNG, JPEG, TIFF, DICOM\)"):
        load_image(path)


@pytest.mark.parametrize("name", IMAGE_FORMATS)
def test_the_listed_formats_are_decoded_whatever_the_name(tmp_path, name):
    path = tmp_path / "film"
    Image.fromarray(RAMP).save(path, name)
    assert load_image(path).shape == RAMP.shape


def test_every_call_of_the_decoder_names_its_formats():
    root = Path(__file__).parents[2]
    files = [f for part in ("src", "tests", "benchmarks", "examples") for f in (root / part).rglob("*.py")]
    calls = [
        (path, node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open")
    ]
    assert calls
    open_to_all = [str(path) for path, call in calls if "formats" not in {k.arg for k in call.keywords}]
    assert open_to_all == []


def test_a_damaged_file_is_an_error_with_the_study_and_never_another(tmp_path):
    """Bytes of a file's head changed at random: every decoder's own exceptions become one."""
    rng = np.random.default_rng(8)
    pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
    failed = 0
    for name in IMAGE_FORMATS:
        path = tmp_path / name
        Image.fromarray(pixels).save(path, name)
        whole = path.read_bytes()
        for _ in range(150):
            torn = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 300), 4):
                torn[place] = rng.integers(256)
            path.write_bytes(torn)
            try:
                load_image(path)
            except ImageError:
                failed += 1
    assert failed > 100


def test_fields_of_the_wrong_type_are_an_error_with_the_study(tmp_path, monkeypatch):
    """A TIFF whose strip offsets are text ends in a TypeError inside Pillow."""
    path = save(tmp_path / "a.tif", RAMP)
    for kind in (TypeError, KeyError, ZeroDivisionError, OverflowError, struct.error):

        def torn(*_, kind=kind):
            raise kind("torn")

        monkeypatch.setattr("PIL.ImageOps.exif_transpose", torn)
        with pytest.raises(ImageError, match="cannot be decoded"):
            load_image(path, study_id="s1")


def test_an_image_of_several_frames_is_refused(tmp_path):
    pages = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (32, 32), dtype=np.uint8)) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="3 frames, one expected"):
        load_image(tmp_path / "a.tif")
    pages[0].save(tmp_path / "b.png", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="3 frames, one expected"):
        load_image(tmp_path / "b.png")
    for suffix in ("gif", "webp"):
        pages[0].save(tmp_path / f"c.{suffix}", save_all=True, append_images=pages[1:])
        with pytest.raises(ImageError, match="no image in a known format"):
            load_image(tmp_path / f"c.{suffix}")
    pages[0].save(tmp_path / "d.tif")
    assert load_image(tmp_path / "d.tif").shape == (32, 32)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="no regular file"):
        load_image(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="no regular file"):
        load_image("/dev/zero")
    with pytest.raises(ImageError, match="impossible name"):
        load_image("a\x00b.png")
