"""DICOM radiographs as a radiologist's workstation shows them (PS3.3 C.7.6.3, C.8.11, C.11; PS3.4 N.2)."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_dataset, read_file_meta_info, read_preamble
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medtrim.data.limits import TORN_FILE, ImageLimits, check_shape
from medtrim.data.window import scale, to_uint8
from medtrim.errors import ImageError

# Modalities of projection radiographs, secondary captures among them (PS3.3 C.7.3.1.1.1).
_RADIOGRAPHY = frozenset({"", "CR", "DX", "DR", "RG", "OT", "SC"})
# Body Part Examined (PS3.16 annex L) that certainly is no chest; other values are left to the user.
_OTHER_PARTS = frozenset(
    ("ABDOMEN", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY",
     "EYE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW",
     "KIDNEY", "KNEE", "LEG", "LSPINE", "MANDIBLE", "MAXILLA", "NECK", "NOSE", "ORBIT", "PATELLA", "PELVIS",
     "SACRUM", "SHOULDER", "SINUS", "SKULL", "SPINE", "THIGH", "TIBIA", "TOE", "WRIST", "ZYGOMA")
)  # fmt: skip
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# How far apart the two pixel spacings may be before the image is resampled.
_SQUARE = 0.01
_HEADER = 2**24
_ERRORS = (*TORN_FILE, ValueError, OSError, EOFError, RuntimeError, zlib.error)


def decode_dicom(content: bytes, *, study_id: str, limits: ImageLimits) -> NDArray[np.uint8]:
    """The pixels of a DICOM file as uint8 [H W], bones bright, a pixel as wide as it is high.

    Stored values → modality transform (rescale or LUT) → VOI transform (LUT or first window; without either, the
    percentiles of `window.to_uint8`) → inversion for MONOCHROME1 or an INVERSE presentation. The padding value
    becomes black, colours and palettes luminance. Where the pixel spacings (or the aspect ratio) differ, the image
    is resampled to the smaller one.

    Raises:
        ImageError: no pixels, several frames, a modality or body part that is no chest radiograph, a torn file, one
            that unpacks to more than `limits`, or a compression that no installed decoder knows.
    """
    try:
        dataset = _read(content, study_id, limits)
        _check_kind(dataset, study_id, limits)
        gray = _pixels(dataset, study_id)
        return _square(gray, dataset, study_id, limits)
    except (InvalidDicomError, BytesLengthException) as error:
        raise ImageError(study_id, "malformed DICOM file") from error
    except NotImplementedError as error:  # a RuntimeError too
        raise ImageError(study_id, "DICOM pixels are of a kind that is not read") from error
    except RuntimeError as error:  # every decoder that is installed has failed
        hint = "the file is torn, or needs a decoder of medtrim[dicom]"
        raise ImageError(study_id, f"DICOM pixels cannot be decoded ({hint})") from error
    except _ERRORS as error:
        # pydicom reports a torn or contradictory file by any of these; its text may quote the file's values.
        raise ImageError(study_id, f"DICOM pixels cannot be decoded ({type(error).__name__})") from error


def header_view(path: Path) -> str:
    """The view that the header of the DICOM file `path` names; empty where it cannot be read or names none."""
    try:
        if not path.is_file():
            return ""
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return ""  # would have to be unpacked whole
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ViewPosition", "ViewCodeSequence"])
        codes = dataset.get("ViewCodeSequence") or []
        named = str(dataset.get("ViewPosition") or "")
        return named or (str(codes[0].get("CodeMeaning") or "") if codes else "")
    except (InvalidDicomError, BytesLengthException, RuntimeError, *_ERRORS):
        return ""


def _read(content: bytes, study_id: str, limits: ImageLimits) -> Any:
    """The data set, unpacked within `limits` where it is deflated."""
    stream = io.BytesIO(content)
    if content[128:132] == b"DICM":
        read_preamble(stream, False)
        meta = _read_file_meta_info(stream)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            most = min(limits.max_bytes, 4 * limits.max_pixels) + _HEADER
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            inflated = unpacker.decompress(stream.read(), most)
            if unpacker.unconsumed_tail:
                raise ImageError(study_id, f"deflated DICOM file unpacks to more than {most:,} bytes")
            if not unpacker.eof:
                raise ImageError(study_id, "deflated DICOM file is torn")
            dataset = read_dataset(io.BytesIO(inflated), is_implicit_VR=False, is_little_endian=True)
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta = meta
            return dataset
        stream.seek(0)
    dataset = pydicom.dcmread(stream, force=True)
    if not len(dataset):
        raise InvalidDicomError("no element")
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta = getattr(dataset, "file_meta", pydicom.dataset.FileMetaDataset())
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset


def _check_kind(dataset: Any, study_id: str, limits: ImageLimits) -> None:
    """Raise an `ImageError` where the file is no single chest radiograph that can be decoded."""
    if not any(name in dataset for name in _PIXELS):
        raise ImageError(study_id, "DICOM file holds no pixel data")
    check_shape(int(dataset.get("Columns", 0)), int(dataset.get("Rows", 0)), limits=limits, study_id=study_id)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError(study_id, f"DICOM file holds {dataset.NumberOfFrames} frames, one expected")
    modality = str(dataset.get("Modality") or "").strip().upper()
    part = str(dataset.get("BodyPartExamined") or "").strip().upper()
    if limits.chest_only and modality not in _RADIOGRAPHY:
        raise ImageError(study_id, f"DICOM file is no radiograph: modality {_shown(modality)}")
    if limits.chest_only and part in _OTHER_PARTS:
        raise ImageError(study_id, f"DICOM file is no chest radiograph: body part {part}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if not get_decoder(syntax).is_available:
        reason = f"no installed decoder for DICOM compression {syntax.name!r}: pip install 'medtrim[dicom]'"
        raise ImageError(study_id, reason)


def _shown(code: str) -> str:
    """A code of the standard as it is, anything else not at all: the field may hold a name."""
    return code if len(code) <= 8 and code.isalnum() else "unknown"


def _pixels(dataset: Any, study_id: str) -> NDArray[np.uint8]:
    stored, properties = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset)
    samples = int(dataset.get("SamplesPerPixel", 1))
    if stored.ndim != (2 if samples == 1 else 3):
        raise ImageError(study_id, f"DICOM file holds pixel data of {stored.shape[0]} frames, one expected")
    if samples > 1:
        # The decoder has made RGB of YBR already; the data set still says what was stored.
        return _luminance(stored, bits=int(dataset.get("BitsStored", 8)))
    if properties.get("photometric_interpretation") == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)
        return _luminance(colours, bits=8 * colours.dtype.itemsize)
    return _grayscale(stored, dataset)


def _grayscale(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    padding = _padding(stored, dataset)
    modality = apply_modality_lut(stored, dataset)
    values = np.asarray(modality, dtype=np.float32)
    window = _window(dataset)
    if dataset.get("VOILUTSequence"):
        table = np.asarray(apply_voi_lut(modality, dataset, prefer_lut=True))
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        gray = scale(table.astype(np.float32), low=0.0, high=float(2**bits - 1))
    elif window is not None:
        gray = _windowed(values, *window)
    else:
        gray = to_uint8(values, valid=~padding)
    inverse = str(dataset.get("PresentationLUTShape") or "").upper() == "INVERSE"
    if inverse or dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        gray = np.uint8(255) - gray
    gray[padding] = 0
    return gray


def _window(dataset: Any) -> tuple[float, float, str] | None:
    """Centre, width and function of the file's first window; None where it has none that shows anything."""
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre in (None, "") or width in (None, ""):
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    first = _first(centre), _first(width)
    # A width below 1 is against the standard (PS3.3 C.11.2.1.2), and 0 is written where there is no window.
    useful = first[1] > 0 if function in ("SIGMOID", "LINEAR_EXACT") else first[1] >= 1
    return (*first, function) if useful and np.isfinite(first).all() else None


def _windowed(values: NDArray[np.float32], centre: float, width: float, function: str) -> NDArray[np.uint8]:
    """PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
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
    if dataset.get("PixelPaddingValue") in (None, ""):
        return np.zeros(stored.shape, dtype=bool)
    bounds = [_stored_value(dataset.PixelPaddingValue, dataset)]
    if dataset.get("PixelPaddingRangeLimit") not in (None, ""):
        bounds.append(_stored_value(dataset.PixelPaddingRangeLimit, dataset))
    inside: NDArray[np.bool_] = np.logical_and(stored >= min(bounds), stored <= max(bounds))
    return inside


def _stored_value(value: Any, dataset: Any) -> int:
    """A padding value as pixels are stored: signed where they are, though it may have been written unsigned."""
    number = int(value)
    bits = int(dataset.get("BitsAllocated", 16))
    return (
        number - 2**bits if int(dataset.get("PixelRepresentation") or 0) and number >= 2 ** (bits - 1) else number
    )


def _luminance(rgb: NDArray[Any], *, bits: int) -> NDArray[np.uint8]:
    """ITU-R 601 luminance of colour pixels (a secondary capture)."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    luminance = np.asarray(rgb[..., :3], dtype=np.float32) @ weights
    return scale(luminance, low=0.0, high=float(2**bits - 1))


def _square(gray: NDArray[np.uint8], dataset: Any, study_id: str, limits: ImageLimits) -> NDArray[np.uint8]:
    """`gray` with the longer side of its pixels divided, so that a heart's width can be compared."""
    vertical, horizontal = _spacing(dataset)
    ratio = vertical / horizontal
    if abs(ratio - 1) <= _SQUARE:
        return gray
    height, width = gray.shape
    size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    check_shape(*size, limits=limits, study_id=study_id)
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC))


def _spacing(dataset: Any) -> tuple[float, float]:
    """Height and width of a pixel in one unit; equal ones where the file does not say."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        value = dataset.get(name)
        if isinstance(value, pydicom.multival.MultiValue) and len(value) == 2:
            vertical, horizontal = float(value[0]), float(value[1])
            if vertical > 0 and horizontal > 0 and np.isfinite([vertical, horizontal]).all():
                return vertical, horizontal
    return 1.0, 1.0
