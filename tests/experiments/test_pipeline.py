"""What a run refuses before it begins; whole runs are in tests/cli/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtrim.errors import ConfigError
from medtrim.experiments.config import PhantomSource, PipelineConfig, TableSource
from medtrim.experiments.pipeline import run_pipeline

TABLE = "image,findings,impression,patient_id\na.png,No effusion.,Normal.,p\n"


def files_of(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(path: Path) -> PipelineConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TABLE)
    return PipelineConfig(TableSource(path))


def test_a_run_in_the_folder_of_its_own_source_removes_nothing(tmp_path: Path) -> None:
    config = table(tmp_path / "corpus" / "studies.csv")
    (tmp_path / "corpus" / "images").mkdir()
    (tmp_path / "corpus" / "images" / "a.png").write_text("picture")
    before = files_of(tmp_path)
    with pytest.raises(ConfigError, match=r"studies\.csv lies in .*corpus.*choose another folder"):
        run_pipeline(config, tmp_path)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("place", ["corpus", "cache", "runs/clip", "evaluation/clip", "logs", "state"])
def test_images_inside_an_output_are_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "out" / place / "images").mkdir(parents=True)
    (tmp_path / "mine.csv").write_text(TABLE)
    source = TableSource(tmp_path / "mine.csv", image_root=tmp_path / "out" / place / "images")
    with pytest.raises(ConfigError, match="images lies in"):
        run_pipeline(PipelineConfig(source), tmp_path / "out")


def test_a_source_that_an_output_would_replace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="annotations.parquet lies in"):
        run_pipeline(table(tmp_path / "annotations.parquet"), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "corpus/studies.csv",
        "cache/a",
        "annotations.parquet",
        "triplets.parquet",
        "runs/medtrim/a",
        "evaluation/clip/a",
        "report.html",
        "metrics.parquet",
        "results.json",
        "rejects.parquet",
        "logs/clip.log",
        "state/mine.json",
    ],
)
def test_files_of_others_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    with pytest.raises(ConfigError, match="is there and was not made by this run: choose another folder"):
        run_pipeline(PipelineConfig(PhantomSource(studies=3)), tmp_path / "out")
    assert files_of(tmp_path / "out") == {name: "somebody's"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PipelineConfig(PhantomSource(3), settings={"objective.name": "clip"}), "--methods"),
        (PipelineConfig(PhantomSource(3), settings={"optimizer.rate": 1}), "optimizer.rate"),
        (PipelineConfig(PhantomSource(3), recipe="huge"), "no recipe file"),
    ],
)
def test_a_bad_recipe_is_refused_before_anything_is_written(
    tmp_path: Path, config: PipelineConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_pipeline(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_without_a_test_split_is_refused_before_reading_reports(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    rows = [f"a.png,No effusion.,Normal.,p{i},train\n" for i in range(5)]  # one image, so one study
    (tmp_path / "mine.csv").write_text("image,findings,impression,patient_id,split\n" + "".join(rows))
    with pytest.raises(ConfigError, match=r"no study in the test split.*train 1"):
        run_pipeline(PipelineConfig(TableSource(tmp_path / "mine.csv")), tmp_path / "out")
    assert not (tmp_path / "out" / "annotations.parquet").exists()
