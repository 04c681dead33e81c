"""`medtrim audit`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.types import Annotation, Finding, Provenance, Study, schemas
from medtrim.types.tables import annotations_to_table, read_table, studies_to_table, write_table


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("edema", "fracture", "pneumonia")
    corpus = [
        Annotation(f"s{i}", (Finding(names[i % 3], "present", (), (("left", "right")[i % 2],)),)) for i in range(12)
    ]
    write_table(annotations_to_table(corpus), tmp_path / "annotations.parquet", Provenance("annotations"))
    pixels = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for study in corpus[1:]:
        Image.fromarray(pixels).save(tmp_path / f"{study.study_id}.png")
    (tmp_path / "s0.png").write_bytes(b"no image")
    studies = [Study(a.study_id, "P", (f"{a.study_id}.png",), findings="Left effusion.") for a in corpus]
    write_table(studies_to_table(studies), tmp_path / "studies.parquet", Provenance("studies"))
    mined = run("mine", tmp_path / "annotations.parquet", "-o", tmp_path / "triplets.parquet", "--miner", "corpus")
    assert mined.exit_code == 0, mined.output
    return tmp_path


def test_figures_alone(folder):
    result = run("audit", folder / "triplets.parquet", "--annotations", folder / "annotations.parquet")
    assert result.exit_code == 0, result.output
    written = folder / "triplets.audit"
    assert sorted(p.name for p in written.iterdir()) == ["audit.html", "audit.json"]
    figures = json.loads((written / "audit.json").read_text())
    assert figures["triplets"] == 12
    assert "12 triplets over 12 studies" in result.output
    assert "Left effusion" not in (written / "audit.html").read_text()


def test_reports_and_images_are_embedded_and_unreadable_ones_listed(folder):
    arguments = ("audit", folder / "triplets.parquet", "--annotations", folder / "annotations.parquet")
    arguments = (*arguments, "--studies", folder / "studies.parquet", "-o", folder / "out")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    page = (folder / "out" / "audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 11
    assert "Left effusion" in page
    assert str(folder) not in page
    rejects = read_table(folder / "out" / "rejects.parquet", schemas.REJECTS, table="rejects").to_pylist()
    assert [r["study_id"] for r in rejects] == ["s0"]
    assert run(*arguments, "--strict").exit_code == 1
    assert "data:image" not in page_without_images(folder, arguments)


def page_without_images(folder: Path, arguments: tuple[object, ...]) -> str:
    result = run(*arguments, "--no-images")
    assert result.exit_code == 0, result.output
    return (folder / "out" / "audit.html").read_text()
