from __future__ import annotations

import io
import tarfile

import pytest

from medtrim.data import read_corpus
from medtrim.errors import TableError

REPORT = """<eCitation><uId id="CXR{n}"/><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">None &amp; fine</AbstractText>
</Abstract><MeSH><major>normal</major></MeSH><parentImage id="CXR{n}_1"/></eCitation>"""


def test_openi_folder_and_archive_read_alike(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    for n in (10, 9):
        (folder / f"{n}.xml").write_text(REPORT.format(n=n, findings=f"Text {n}."))
    (folder / "11.xml").write_text("<eCitation><broken")
    (folder / "12.xml").write_text("<eCitation/>")
    with tarfile.open(tmp_path / "r.tgz", "w:gz") as archive:
        archive.add(folder, arcname="reports")
    from_folder, from_archive = read_corpus(folder), read_corpus(tmp_path / "r.tgz")
    assert from_folder.studies == from_archive.studies
    assert [s.study_id for s in from_folder.studies] == ["CXR9", "CXR10"]
    assert from_folder.studies[0].impression == "None & fine"
    assert from_folder.studies[0].labels == {"mesh": ["normal"]}
    assert [r.reason.split(" (")[0] for r in from_folder.rejects] == ["malformed XML", "report has no uId"]
    assert read_corpus(folder, image_root="/png").studies[0].images == ("/png/CXR9_1.png",)


def test_torn_archive_is_a_table_error(tmp_path):
    good = io.BytesIO()
    with tarfile.open(fileobj=good, mode="w:gz") as archive:
        info = tarfile.TarInfo("1.xml")
        info.size = 5000
        archive.addfile(info, io.BytesIO(bytes(range(250)) * 20))
    (tmp_path / "r.tgz").write_bytes(good.getvalue()[:80])
    with pytest.raises(TableError, match="archive"):
        read_corpus(tmp_path / "r.tgz")


def test_real_openi_reports(shared):
    reading = read_corpus(shared / "data" / "openi" / "NLMCXR_reports_dev.tgz")
    assert (len(reading.studies), len(reading.rejects)) == (1959, 14)
    assert {r.reason for r in reading.rejects} == {"empty report"}
    assert reading.studies[0].study_id == "CXR1"
