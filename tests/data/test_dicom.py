from __future__ import annotations

import io
import tracemalloc
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    generate_uid,
)

from medtrim.data import ImageLimits, load_image
from medtrim.data.dicom import decode_dicom
from medtrim.data.images import strict_decoding
from medtrim.errors import ImageError

STORED = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)


def write(path: Path, stored: np.ndarray = STORED, **tags) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientID = "SECRET"
    data.Rows, data.Columns = stored.shape[:2]
    data.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = stored.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = 0
    data.PixelData = stored.tobytes()
    for name, value in tags.items():
        if name == "TransferSyntaxUID":
            meta.TransferSyntaxUID = value
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def linear(value: float, centre: float, width: float) -> int:
    """PS3.3 C.11.2.1.2.1, as it stands there, for outputs 0 … 255."""
    if value <= centre - 0.5 - (width - 1) / 2:
        return 0
    if value > centre - 0.5 + (width - 1) / 2:
        return 255
    return round(((value - (centre - 0.5)) / (width - 1) + 0.5) * 255)


def test_window_and_rescale_follow_the_standard(tmp_path):
    path = write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=400, RescaleSlope=2, RescaleIntercept=-100)
    expected = [[linear(2 * int(v) - 100, 600, 400) for v in row] for row in STORED]
    np.testing.assert_allclose(load_image(path), expected, atol=1)


def test_monochrome1_is_inverted(tmp_path):
    plain = load_image(write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=400))
    inverted = load_image(
        write(tmp_path / "b.dcm", WindowCenter=600, WindowWidth=400, PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_array_equal(inverted, 255 - plain)


def test_first_of_several_windows_and_other_functions(tmp_path):
    one = load_image(write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=400))
    several = load_image(write(tmp_path / "b.dcm", WindowCenter=[600, 10], WindowWidth=[400, 5]))
    np.testing.assert_array_equal(one, several)
    sigmoid = load_image(write(tmp_path / "c.dcm", WindowCenter=600, WindowWidth=400, VOILUTFunction="SIGMOID"))
    expected = np.rint(255 / (1 + np.exp(-4 * (STORED - 600.0) / 400)))
    np.testing.assert_allclose(sigmoid, expected, atol=1)


def test_without_window_percentiles_decide_and_padding_does_not(tmp_path):
    stored = STORED.copy()
    stored[:4] = 60000
    padded = load_image(write(tmp_path / "a.dcm", stored, PixelPaddingValue=60000))
    assert (padded[:4] == 0).all()
    assert padded[4:].min() == 0
    assert padded[4:].max() == 255
    assert padded[20, 20] > 100


def test_voi_lut(tmp_path):
    item = pydicom.Dataset()
    item.LUTDescriptor = [1280, 0, 12]
    item.add_new("LUTData", "US", (np.arange(1280) * 3).tolist())
    path = write(tmp_path / "a.dcm", VOILUTSequence=[item])
    np.testing.assert_allclose(load_image(path), STORED * 3 / 4095 * 255, atol=1)


def test_colour_capture_becomes_luminance(tmp_path):
    rgb = np.stack([np.full((32, 32), 200), np.zeros((32, 32)), np.tile(np.arange(32), (32, 1))], -1).astype(
        np.uint8
    )
    expected = np.rint(rgb @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_allclose(load_image(write(tmp_path / "a.dcm", rgb)), expected, atol=1)


def broken(path: Path, kind: str) -> Path:
    if kind == "several frames":
        return write(path, NumberOfFrames=4, PixelData=STORED.tobytes() * 4)
    if kind == "no decoder":
        content = pydicom.encaps.encapsulate([STORED.tobytes()])
        write(path)
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        data.PixelData = content
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
        return path
    if kind == "short":
        return write(path, PixelData=STORED.tobytes()[:100])
    if kind == "torn":
        write(path)
        path.write_bytes(path.read_bytes()[:300])
        return path
    write(path)
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["several frames", "no decoder", "short", "torn", "no pixels"])
def test_unusable_files_are_errors_without_patient_data(tmp_path, kind):
    path = broken(tmp_path / "a.dcm", kind)
    with pytest.raises(ImageError) as caught:
        load_image(path, study_id="s1")
    assert caught.value.study_id == "s1"
    assert "SECRET" not in str(caught.value)
    if kind == "no decoder":
        assert "JPEG Lossless" in caught.value.reason


def test_pixels_of_two_spacings_become_square(tmp_path):
    path = write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=1200, PixelSpacing=[0.2, 0.1])
    assert load_image(path).shape == (64, 40)
    path = write(tmp_path / "b.dcm", WindowCenter=600, WindowWidth=1200, PixelAspectRatio=["1", "2"])
    gray = load_image(path)
    assert gray.shape == (32, 80)
    plain = load_image(write(tmp_path / "c.dcm", WindowCenter=600, WindowWidth=1200, PixelSpacing=[0.1, 0.1]))
    np.testing.assert_allclose(gray[:, 1:-1].mean(), plain[:, 1:-1].mean(), atol=1)
    with pytest.raises(ImageError, match="ratio"):
        load_image(write(tmp_path / "d.dcm", PixelSpacing=[1.0, 0.1]))


def test_an_inverse_presentation_is_inverted_once(tmp_path):
    window = {"WindowCenter": 600, "WindowWidth": 400}
    plain = load_image(write(tmp_path / "a.dcm", PresentationLUTShape="IDENTITY", **window))
    two = load_image(write(tmp_path / "b.dcm", PresentationLUTShape="INVERSE", **window))
    one = load_image(
        write(tmp_path / "c.dcm", PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1", **window)
    )
    np.testing.assert_array_equal(two, 255 - plain)
    np.testing.assert_array_equal(one, 255 - plain)


def test_a_window_that_shows_nothing_and_an_empty_lut_are_passed_over(tmp_path):
    none = load_image(write(tmp_path / "a.dcm"))
    zero = load_image(write(tmp_path / "b.dcm", WindowCenter=600, WindowWidth=0))
    np.testing.assert_array_equal(none, zero)
    window = {"WindowCenter": 600, "WindowWidth": 400}
    plain = load_image(write(tmp_path / "c.dcm", **window))
    np.testing.assert_array_equal(plain, load_image(write(tmp_path / "d.dcm", VOILUTSequence=[], **window)))


def test_a_signed_padding_value_written_unsigned_is_black(tmp_path):
    stored = np.arange(-600, 680, dtype=np.int16).reshape(32, 40)
    stored[:4] = -2000
    signed = load_image(write(tmp_path / "a.dcm", stored, PixelRepresentation=1, PixelPaddingValue=-2000))
    path = write(tmp_path / "b.dcm", stored, PixelRepresentation=1)
    data = pydicom.dcmread(path)
    data.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    data.save_as(path)
    np.testing.assert_array_equal(load_image(path), signed)
    assert not signed[:4].any()
    assert signed[4:].max() == 255


def test_floating_pixels_are_read(tmp_path):
    path = write(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.BitsAllocated = 32
    data.FloatPixelData = (STORED / 7).astype("<f4").tobytes()
    data.save_as(path)
    np.testing.assert_allclose(load_image(path), load_image(write(tmp_path / "b.dcm")), atol=1)


def test_a_file_without_preamble_is_dicom_all_the_same(tmp_path):
    whole = write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=400)
    (tmp_path / "b.dcm").write_bytes(whole.read_bytes()[132:])
    data = pydicom.dcmread(whole)
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    data.file_meta = FileMetaDataset()
    bare = io.BytesIO()
    pydicom.filewriter.dcmwrite(bare, data, implicit_vr=True, little_endian=True, enforce_file_format=False)
    content = bare.getvalue()
    start = content.index(b"\x08\x00\x16\x00")
    (tmp_path / "c.dcm").write_bytes(content[start:] if content[128:132] == b"DICM" else content)
    for name in ("b.dcm", "c.dcm"):
        np.testing.assert_array_equal(load_image(tmp_path / name), load_image(whole))


def deflated(path: Path, content: bytes) -> Path:
    """A deflated file of the data set `content` (explicit little endian)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    stream = io.BytesIO()
    stream.write(b"\0" * 128 + b"DICM")
    pydicom.filewriter.write_file_meta_info(stream, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(stream.getvalue() + packer.compress(content) + packer.flush())
    return path


def test_a_deflated_file_is_read_within_bounds_and_torn_or_bloated_ones_are_refused(tmp_path):
    plain = write(tmp_path / "a.dcm", WindowCenter=600, WindowWidth=400)
    content = plain.read_bytes()
    body = content[content.index(b"\x10\x00\x20\x00") :]  # from the patient id on
    whole = deflated(tmp_path / "b.dcm", body)
    np.testing.assert_array_equal(load_image(whole), load_image(plain))
    (tmp_path / "c.dcm").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ImageError, match="deflated DICOM file is torn"):
        load_image(tmp_path / "c.dcm")
    bomb = deflated(tmp_path / "d.dcm", body + bytes(40_000_000))
    assert bomb.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(ImageError, match="unpacks to more than"):
        load_image(bomb, limits=ImageLimits(max_bytes=1_000_000))
    assert tracemalloc.get_traced_memory()[1] < 45_000_000
    tracemalloc.stop()


def test_other_modalities_body_parts_and_surplus_frames_are_refused_with_the_reason(tmp_path):
    cases = {
        "modality CT": {"Modality": "CT"},
        "modality unknown": {"Modality": "JOHN DOE"},
        "body part SKULL": {"Modality": "DX", "BodyPartExamined": "SKULL"},
        "7 frames": {"NumberOfFrames": 7},
        "pixel data of 3 frames": {"PixelData": STORED.tobytes() * 3},
    }
    for reason, tags in cases.items():
        with pytest.raises(ImageError, match=reason):
            load_image(write(tmp_path / "a.dcm", **tags))
    for kept in ({"Modality": "CR", "BodyPartExamined": "CHEST"}, {"BodyPartExamined": "PORT CHEST"}):
        load_image(write(tmp_path / "a.dcm", **kept))
    with pytest.raises(ImageError, match=r"no installed decoder.*pip install 'medtrim\[dicom\]'"):
        load_image(write(tmp_path / "a.dcm", TransferSyntaxUID=JPEGLSLossless, PixelData=encapsulate([b"x" * 8])))


def pipeline(data: pydicom.Dataset) -> np.ndarray:
    """Pixels in [0, 255] by pydicom's own functions, one after the other."""
    stored = pixel_array(data)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, data)
    if stored.ndim == 3:
        bits = data.BitsStored if data.SamplesPerPixel == 3 else 8 * stored.dtype.itemsize
        return stored @ np.array([0.299, 0.587, 0.114]) * 255 / (2**bits - 1)
    values = apply_modality_lut(stored, data).astype(float)
    padding = stored == data.PixelPaddingValue if "PixelPaddingValue" in data else np.zeros(stored.shape, bool)
    if data.get("WindowWidth") is not None:
        # Everything below the window becomes the lowest of what is given out, everything above the highest.
        extremes = np.array([-1e9, 1e9])
        low, high = apply_windowing(extremes, _without_rescale(data))
        gray = (apply_windowing(values, _without_rescale(data)) - low) / (high - low)
    else:
        low, high = np.percentile(values[~padding], (0.5, 99.5))
        if low == high:
            low, high = values[~padding].min(), values[~padding].max()
        gray = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    if data.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    return np.where(padding, 0, gray * 255)


def _without_rescale(data: pydicom.Dataset) -> pydicom.Dataset:
    """What `apply_windowing` reads but the rescale, which `apply_modality_lut` has applied."""
    kept = pydicom.Dataset()
    kept.PhotometricInterpretation, kept.BitsStored, kept.PixelRepresentation = "MONOCHROME2", 16, 0
    for name in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
        if name in data:
            setattr(kept, name, data[name].value)
    return kept


ANY = ImageLimits(min_side=1, max_aspect=1e9, chest_only=False)


def kinds_with_the_pixels_of_pydicom(folder: Path) -> Counter[str]:
    """How many files of each kind below `folder` are decoded as by `pipeline`, and of each reason are refused."""
    kinds: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.dcm")):
        try:
            with strict_decoding():
                gray = decode_dicom(path.read_bytes(), study_id=path.name, limits=ANY)
        except ImageError as error:
            kinds[error.reason.split(" (")[0].split(": ")[0]] += 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path, force=True)
            if "TransferSyntaxUID" not in data.file_meta:
                data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            expected = pipeline(data)
        kinds[data.PhotometricInterpretation.split("_")[0]] += 1
        if gray.shape == expected.shape:
            np.testing.assert_allclose(gray, expected, atol=1.01, err_msg=path.name)
        else:
            spacing = data.get("PixelSpacing") or data.PixelAspectRatio
            assert gray.shape[0] / gray.shape[1] == pytest.approx(
                expected.shape[0] * float(spacing[0]) / (expected.shape[1] * float(spacing[1])), rel=0.02
            )
    return kinds


def test_pydicoms_own_files_have_the_pixels_of_its_pipeline():
    kinds = kinds_with_the_pixels_of_pydicom(Path(pydicom.__file__).parent / "data" / "test_files")
    assert kinds["MONOCHROME2"] >= 15
    assert kinds["RGB"] >= 10
    assert kinds["YBR"] >= 1
    assert kinds["PALETTE COLOR"] >= 1


@pytest.mark.slow
def test_the_files_of_pydicom_data_have_the_pixels_of_its_pipeline():
    store = pytest.importorskip("data_store", reason="pip install 'medtrim[dicom-data]' brings 68 more files")
    kinds = kinds_with_the_pixels_of_pydicom(Path(store.__file__).parent)
    for kind, least in {"MONOCHROME1": 8, "MONOCHROME2": 12, "RGB": 17, "PALETTE COLOR": 6, "YBR": 2}.items():
        assert kinds[kind] >= least
