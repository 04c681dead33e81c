from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from medtrim.data import load_image
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
