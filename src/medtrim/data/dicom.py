"""DICOM radiographs: modality and VOI transforms, padding, photometric interpretation (PS3.3 C.11, C.7.6.3)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, convert_color_space

from medtrim.data.limits import ImageLimits, check_shape
from medtrim.data.window import scale, to_uint8
from medtrim.errors import ImageError


def decode_dicom(content: bytes, *, study_id: str, limits: ImageLimits) -> NDArray[np.uint8]:
    """The pixels of a DICOM file as uint8 [H W], bones bright.

    Stored values → modality transform (rescale or LUT) → VOI transform (the first window, or the LUT; without
    either the percentiles of `window.to_uint8`) → inversion for MONOCHROME1. Pixels of the padding value are black.

    Raises:
        ImageError: no pixels, several frames, or a compression that no installed decoder knows.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        if "PixelData" not in dataset:
            raise ImageError(study_id, "DICOM file holds no pixel data")
        check_shape(int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0)), limits=limits, study_id=study_id)
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            raise ImageError(study_id, f"DICOM file holds {dataset.NumberOfFrames} frames, one expected")
        syntax = dataset.file_meta.TransferSyntaxUID
        if not get_decoder(syntax).is_available:
            raise ImageError(study_id, f"no installed decoder for DICOM compression {syntax.name!r}")
        stored = dataset.pixel_array
        return _colour(stored, dataset) if stored.ndim == 3 else _grayscale(stored, dataset)
    except (InvalidDicomError, BytesLengthException) as error:
        raise ImageError(study_id, "malformed DICOM file") from error
    except (
        AttributeError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        OSError,
        EOFError,
        RuntimeError,
    ) as error:
        # pydicom reports a torn or contradictory file by any of these; its text may quote the file's values.
        raise ImageError(study_id, f"DICOM pixels cannot be decoded ({type(error).__name__})") from error


def _grayscale(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    padding = _padding(stored, dataset)
    values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float32)
    if "VOILUTSequence" in dataset:
        table = np.asarray(apply_voi_lut(apply_modality_lut(stored, dataset), dataset, prefer_lut=True))
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        gray = scale(table.astype(np.float32), low=0.0, high=float(2**bits - 1))
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        gray = _windowed(values, dataset)
    else:
        gray = to_uint8(values, valid=~padding)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        gray = np.uint8(255) - gray
    gray[padding] = 0
    return gray


def _windowed(values: NDArray[np.float32], dataset: Any) -> NDArray[np.uint8]:
    """The first window of the file, by PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    centre, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if width < 1 or (function != "LINEAR" and width <= 0):
        raise ValueError("window width out of range")
    if function == "SIGMOID":
        return scale(1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width)), low=0.0, high=1.0)
    if function == "LINEAR_EXACT":
        return scale(values, low=centre - width / 2, high=centre + width / 2)
    if width == 1:  # a threshold: PS3.3 divides by width − 1 otherwise
        return np.where(values <= centre - 0.5, np.uint8(0), np.uint8(255))
    return scale(values, low=centre - 0.5 - (width - 1) / 2, high=centre - 0.5 + (width - 1) / 2)


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_]:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    inside: NDArray[np.bool_] = np.logical_and(stored >= min(value, limit), stored <= max(value, limit))
    return inside


def _colour(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """Luminance of a colour file (a secondary capture)."""
    space = str(dataset.get("PhotometricInterpretation", "RGB"))
    rgb = convert_color_space(stored, space, "RGB") if space.startswith("YBR") else stored
    luminance = np.asarray(rgb[..., :3], dtype=np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return scale(luminance, low=0.0, high=float(2 ** int(dataset.get("BitsStored", 8)) - 1))
