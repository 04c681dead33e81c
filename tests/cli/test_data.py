from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from medtrim.cli import app
from medtrim.data import ImageCache, load_square
from medtrim.errors import ConfigError, TableError
from medtrim.types.tables import provenance_of, read_studies

runner = CliRunner()


def run(*arguments: object):
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "raw"
    (folder / "img").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["study,patient,image,note"]
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (60, 50), dtype=np.uint8)).save(folder / "img" / f"{i}.png")
        lines.append(f"s{i},p{i},img/{i}.png,Small effusion {i}.")
    (folder / "img" / "3.png").write_bytes(b"torn")
    lines += ["empty,p99,img/0.png,", "lost,p98,img/none.png,Normal."]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def test_import_then_cache_then_verify(table, tmp_path):
    studies = tmp_path / "out" / "studies.parquet"
    result = run("data", "import", table, "-o", studies, "--column", "findings=note", "--seed", 2)
    assert result.exit_code == 0, result.output
    read = read_studies(studies)
    assert len(read) == 39
    assert {s.split for s in read} == {"train", "val", "test"}
    rejects = pq.read_table(tmp_path / "out" / "studies.rejects.parquet").to_pylist()
    assert {r["study_id"]: r["reason"] for r in rejects} == {
        "empty": "empty report",
        "s3": "file is no image in a known format (PNG, JPEG, TIFF, DICOM)",
        "lost": "image file is missing",
    }
    provenance = provenance_of(pq.read_table(studies))
    assert provenance is not None
    assert (provenance.kind, provenance.seed) == ("studies", 2)

    result = run("data", "cache", studies, "--size", 32)
    assert result.exit_code == 0, result.output
    cache = ImageCache(tmp_path / "out" / "studies.cache-32")
    np.testing.assert_array_equal(cache[cache.rows(["s7"])][0], load_square(table.parent / "img" / "7.png", 32))
    assert run("data", "verify", cache.path).exit_code == 0
    with (cache.path / "images.u8").open("r+b") as file:
        file.write(b"\x00\x01\x02")
    assert run("data", "verify", cache.path).exit_code == 1


def test_strict_fails_after_writing(table, tmp_path):
    result = run("data", "import", table, "-o", tmp_path / "s.parquet", "--column", "findings=note", "--strict")
    assert result.exit_code == 1
    assert len(read_studies(tmp_path / "s.parquet")) == 39


def test_image_paths_are_relative_below_the_table_and_absolute_elsewhere(table, tmp_path):
    run("data", "import", table, "-o", tmp_path / "near.parquet", "--column", "findings=note")
    assert read_studies(tmp_path / "near.parquet")[0].images == ("raw/img/0.png",)
    run("data", "import", table, "-o", tmp_path / "o" / "far.parquet", "--column", "findings=note")
    assert read_studies(tmp_path / "o" / "far.parquet")[0].images == (str(table.parent / "img" / "0.png"),)


def test_reports_only_without_split(table, tmp_path):
    options = ("--column", "findings=note", "--reports-only", "--split", "none")
    result = run("data", "import", table, "-o", tmp_path / "s.parquet", *options)
    assert result.exit_code == 0, result.output
    read = read_studies(tmp_path / "s.parquet")
    assert len(read) == 41
    assert {(s.images, s.split) for s in read} == {((), "")}


def test_an_older_rejects_table_does_not_survive(table, tmp_path):
    (tmp_path / "s.rejects.parquet").write_bytes(b"old")
    good = "\n".join(table.read_text().splitlines()[:3]) + "\n"
    table.write_text(good)
    result = run(
        "data", "import", table, "-o", tmp_path / "s.parquet", "--column", "findings=note", "--split", "none"
    )
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "s.rejects.parquet").exists()


def test_nothing_usable_is_an_error_that_points_to_the_reasons(tmp_path):
    (tmp_path / "t.csv").write_text("study_id,patient_id,findings\ns,p,\n")
    result = run("data", "import", tmp_path / "t.csv", "-o", tmp_path / "s.parquet")
    assert isinstance(result.exception, TableError)
    assert "s.rejects.parquet" in str(result.exception)
    assert (tmp_path / "s.rejects.parquet").exists()


def test_too_few_patients_for_the_splits_still_writes_the_rejects(tmp_path):
    (tmp_path / "t.csv").write_text("study_id,patient_id,findings\na,p,Clear.\nb,q,Edema.\nc,r,\n")
    result = run("data", "import", tmp_path / "t.csv", "-o", tmp_path / "s.parquet")
    assert isinstance(result.exception, TableError)
    assert "--split none" in str(result.exception)
    assert len(pq.read_table(tmp_path / "s.rejects.parquet")) == 1


def test_six_studies_are_enough(tmp_path):
    lines = [f"s{i},p{i},Edema." for i in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["study_id,patient_id,findings", *lines]) + "\n")
    result = run("data", "import", tmp_path / "t.csv", "-o", tmp_path / "s.parquet")
    assert result.exit_code == 0, result.output
    assert {s.split for s in read_studies(tmp_path / "s.parquet")} == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--split", "train"),
        ("--split", "train=x"),
        ("--column", "findings"),
        ("--layout", "fax"),
        ("--patients", "x"),
    ],
)
def test_options_out_of_range(table, tmp_path, option, value):
    result = run("data", "import", table, "-o", tmp_path / "s.parquet", option, value)
    assert isinstance(result.exception, ConfigError)


def test_covid_notes(shared, tmp_path):
    source = shared / "data" / "covid_cxr" / "manifest.csv"
    result = run("data", "import", source, "-o", tmp_path / "s.parquet", "--column", "findings=text")
    assert result.exit_code == 0, result.output
    with source.open(encoding="utf-8", newline="") as stream:
        written = sum(bool(row["text"].strip()) for row in csv.DictReader(stream))
    assert len(read_studies(tmp_path / "s.parquet")) == written
