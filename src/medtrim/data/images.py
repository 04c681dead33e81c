"""One grayscale image from a PNG, JPEG, TIFF or DICOM file, 8 or 16 bits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from medtrim.data.boundary import UnusableError, file_bytes
from medtrim.data.limits import DEFAULT_LIMITS, TORN_FILE, ImageLimits, check_content, check_shape
from medtrim.data.lungs import crop_to_lungs, equalized
from medtrim.data.window import to_uint8
from medtrim.errors import ConfigError, ImageError

Fit = Literal["pad", "crop", "lungs"]
FITS: tuple[Fit, ...] = ("pad", "crop", "lungs")
Gray = NDArray[np.uint8]

# Pillow chooses the decoder by content, and some of its decoders start other programs (EPS runs Ghostscript).
IMAGE_FORMATS = ("PNG", "JPEG", "TIFF")
# Old DICOM files begin with their first element, of group 0002 or 0008, little endian.
_DICOM_WITHOUT_PREAMBLE = (b"\x02\x00", b"\x08\x00")
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size while that stays at least this many times the size wanted.
_DRAFT_MARGIN = 2
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def load_image(path: Path | str, *, study_id: str = "", limits: ImageLimits = DEFAULT_LIMITS) -> Gray:
    """The image as uint8 [H W], bones bright, at its full size.

    Colour becomes luminance (ITU-R 601), transparency lies over black, EXIF rotation is applied. Images with more
    than 8 bits are scaled by `window.to_uint8`. DICOM goes through its modality and VOI transforms; MONOCHROME1
    is inverted.

    Raises:
        ImageError: the file is missing, unreadable, empty or outside `limits`; it carries `study_id`, or the
            file's name where none is given.
    """
    study_id = study_id or Path(path).stem
    with strict_decoding():
        return decode(read_source(path, study_id=study_id, limits=limits), study_id=study_id, limits=limits)


def load_square(
    path: Path | str,
    size: int,
    *,
    fit: Fit = "pad",
    equalize: bool = False,
    study_id: str = "",
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Gray:
    """The image as uint8 [size size]: what `ImageCache` holds of it, bit for bit.

    `pad` scales the long side to `size` and fills up with black, so that nothing of the chest is lost; `crop`
    scales the short side and cuts the centre out. Neither distorts: a heart's width must stay comparable. `lungs`
    stretches the rectangle around the lungs (`medtrim.data.lungs`) to the square, for frontal films: zones lie at
    the same place on each. `equalize` then equalises the histogram.
    """
    study_id = study_id or Path(path).stem
    with strict_decoding():
        content = read_source(path, study_id=study_id, limits=limits)
        return decode_square(content, size, fit=fit, equalize=equalize, study_id=study_id, limits=limits)


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Turn Pillow's warning about decompression bombs into its error; call once around threads that decode."""
    with warnings.catch_warnings():
        # Both quote values of the patient's file; what cannot be decoded is an error all the same.
        warnings.filterwarnings("ignore", module="pydicom")
        warnings.filterwarnings("ignore", module="PIL", category=UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_source(path: Path | str, *, study_id: str, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The bytes of an image file."""
    try:
        content = file_bytes(Path(path), largest=limits.max_bytes, what="image file")
    except UnusableError as error:
        raise ImageError(study_id, str(error)) from error
    if not content:
        raise ImageError(study_id, "image file is empty")
    return content


def decode(content: bytes, *, study_id: str, limits: ImageLimits = DEFAULT_LIMITS) -> Gray:
    """`load_image` of a file's bytes."""
    gray = _decode(content, study_id, limits, draft=0)
    check_content(gray, study_id=study_id)
    return gray


def decode_square(
    content: bytes,
    size: int,
    *,
    fit: Fit = "pad",
    equalize: bool = False,
    study_id: str,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Gray:
    """`load_square` of a file's bytes."""
    if size < 1:
        raise ConfigError(f"image size must be at least 1, not {size}")
    gray = _decode(content, study_id, limits, draft=_DRAFT_MARGIN * size)
    check_content(gray, study_id=study_id)
    return fit_square(gray, size, fit=fit, equalize=equalize)


def fit_square(gray: Gray, size: int, *, fit: Fit = "pad", equalize: bool = False) -> Gray:
    """`gray` [H W] scaled to [size size]; see `load_square`."""
    if fit not in FITS:
        raise ConfigError(f"fit must be one of {', '.join(FITS)}, not {fit!r}")
    if equalize:
        return equalized(fit_square(gray, size, fit=fit))
    if fit == "lungs":
        # Twice the size, so that the cut-out is not scaled up.
        return crop_to_lungs(fit_square(gray, 2 * size), size)
    height, width = gray.shape
    scale = size / (max if fit == "pad" else min)(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    if (new_height, new_width) != (height, width):
        image = Image.fromarray(gray)
        gray = np.asarray(image.resize((new_width, new_height), Image.Resampling.BICUBIC, reducing_gap=3.0))
    top, left = abs(size - new_height) // 2, abs(size - new_width) // 2
    if fit == "crop":
        return np.ascontiguousarray(gray[top : top + size, left : left + size])
    square = np.zeros((size, size), dtype=np.uint8)
    square[top : top + new_height, left : left + new_width] = gray
    return square


def _decode(content: bytes, study_id: str, limits: ImageLimits, *, draft: int) -> Gray:
    if content[128:132] == b"DICM" or content[:2] in _DICOM_WITHOUT_PREAMBLE:
        from medtrim.data.dicom import decode_dicom  # pydicom takes a while to import, and most corpora need none

        return decode_dicom(content, study_id=study_id, limits=limits)
    try:
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            check_shape(*image.size, limits=limits, study_id=study_id)
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise ImageError(study_id, f"image file holds {frames} frames, one expected")
            if draft:
                # The sides' ratio is bounded, so a draft at least `draft` on the short side stays small.
                image.draft("L", (draft, draft))
            return _gray(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        known = ", ".join((*IMAGE_FORMATS, "DICOM"))
        raise ImageError(study_id, f"file is no image in a known format ({known})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(study_id, f"image has more than the {limits.max_pixels:,} pixels allowed") from error
    except (OSError, ValueError, SyntaxError, EOFError, *TORN_FILE) as error:
        raise ImageError(study_id, f"image cannot be decoded ({error})") from error


def _gray(image: Image.Image) -> Gray:
    if image.mode in _WIDE_MODES:
        return to_uint8(np.asarray(image))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba).convert("RGB")
    return np.array(image.convert("L"))
