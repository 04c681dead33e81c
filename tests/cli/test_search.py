from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.errors import ConfigError
from medtrim.models import build_dual_encoder, save_checkpoint
from medtrim.types import Provenance

REPORTS = ("Large left pleural effusion.", "Small right pleural effusion.", "No pleural effusion.", "Mild edema.")
runner = CliRunner()


def run(*arguments: object) -> Result:
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    save_checkpoint(
        build_dual_encoder("tiny", texts=REPORTS * 5, seed=0), folder / "model", Provenance("checkpoint")
    )
    rng = np.random.default_rng(1)
    lines = ["study_id,patient_id,image,findings,impression"]
    for i, report in enumerate(REPORTS):
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"s{i},p{i},{i}.png,{report},")
    lines.append("lost,p9,nowhere.png,Normal.,")
    (folder / "studies.csv").write_text("\n".join(lines) + "\n")
    result = run("index", folder / "model", folder / "studies.csv", "-o", folder / "index")
    assert result.exit_code == 0, result.output
    assert "4 studies" in result.output
    assert (folder / "index" / "rejects.parquet").exists()
    return folder / "index"


def test_add_passes_over_what_is_there_and_update_writes_it_anew(index: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(index, tmp_path / "index")
    for command, told in (
        ("add", "0 studies → {}, 4 were there already"),
        ("update", "4 studies → {}, 4 of them anew"),
    ):
        result = run("index", command, copy, index.parent / "studies.csv")
        assert result.exit_code == 0, result.output
        assert told.format(copy) in result.output


def test_search_by_text_says_what_agrees(index: Path) -> None:
    result = run("search", index, "--text", "large left pleural effusion", "-k", 4)
    assert result.exit_code == 0, result.output
    assert "query (both): large left pleural effusion" in result.output
    assert "✗ side" in result.output


def test_search_as_json(index: Path) -> None:
    result = run("search", index, "--study", "s0", "--against", "text", "--json")
    answer = json.loads(result.stdout)
    assert sorted(hit["study_id"] for hit in answer["hits"]) == ["s1", "s2", "s3"]


def test_search_by_image_and_filter(index: Path) -> None:
    result = run("search", index, "--image", index.parent / "3.png", "--disease", "edema", "--json")
    assert [hit["study_id"] for hit in json.loads(result.stdout)["hits"]] == ["s3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --text, --image or --study"),
        (("--image", "x.png", "--study", "s0"), "give --text, --image or --study"),
        (("--text", "x", "--where", "site"), "COLUMN=VALUE"),
        (("--text", "x", "--where", "site=A"), "has no column 'site'"),
        (("--text", "x", "--against", "sound"), "must be one of image, text"),
        (("--text", "x", "-k", "1000"), "number of results"),
        (("--text", "x", "--side", "up"), "side must be"),
    ],
)
def test_bad_questions_are_refused(index: Path, options: tuple[str, ...], message: str) -> None:
    result = run("search", index, *options)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_serve_refuses_other_machines_without_a_token(index: Path) -> None:
    result = run("serve", index, "--host", "0.0.0.0")
    assert isinstance(result.exception, ConfigError)
    assert "give a token" in str(result.exception)


def test_strict_says_so(index: Path, tmp_path: Path) -> None:
    folder = index.parent
    result = run("index", folder / "model", folder / "studies.csv", "-o", tmp_path / "index", "--strict")
    assert result.exit_code == 1
    assert (tmp_path / "index" / "index.json").exists()
