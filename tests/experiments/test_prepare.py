from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medtrim.data import ImageCache
from medtrim.data.cache_index import CacheFormat
from medtrim.errors import ConfigError, TableError
from medtrim.experiments.load import build_suite
from medtrim.experiments.prepare import RECORD, PreparedCorpus, content_digest, prepare_corpus, read_back
from medtrim.experiments.schema import Suite
from medtrim.types import Annotation, Finding
from medtrim.types.tables import read_annotations, read_studies, read_table, schemas

LEFT = Finding("pleural effusion", "present", ("large",), ("left",))
RIGHT = Finding("pleural effusion", "present", ("large",), ("right",))


def suite_of(values: dict[str, Any], **data: Any) -> Suite:
    return build_suite({**values, "data": data})


def prepared(suite: Suite, out: Path) -> PreparedCorpus:
    return prepare_corpus(suite, out, image_size=32)


def test_read_back_counts_diseases_and_descriptors() -> None:
    drawn = [Annotation("a", (LEFT,)), Annotation("b", (LEFT,)), Annotation("c")]
    read = [
        Annotation("a", (LEFT, Finding("hernia", "present"), Finding("edema", "absent"))),
        Annotation("b", (RIGHT,)),
        Annotation("c", (Finding("edema", "uncertain"),)),
    ]
    found = read_back(read, drawn)
    assert found == {"diseases_read_back": pytest.approx(2 / 3), "descriptors_read_back": pytest.approx(1 / 3)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedCorpus]:
    """The same phantoms with each reference."""
    made = {}
    method = {"label": "CLIP", "objective": "clip"}
    for reference in ("truth", "test-truth", "annotations"):
        suite = suite_of(
            {"name": "tiny", "methods": {"clip": method}, "ours": "clip"},
            phantom={"studies": 60, "size": 32},
            reference=reference,
        )
        made[reference] = prepared(suite, tmp_path_factory.mktemp(reference))
    return made


def test_films_are_cut_as_the_recipe_says(drawn: dict[str, PreparedCorpus], tmp_path: Path) -> None:
    method = {"label": "CLIP", "objective": "clip"}
    suite = suite_of(
        {"name": "tiny", "methods": {"clip": method}, "ours": "clip"}, phantom={"studies": 60, "size": 32}
    )
    made = prepare_corpus(suite, tmp_path, image_size=32, fit="lungs", equalize=True)
    assert ImageCache(made.cache).format == CacheFormat(32, "lungs", True)
    assert made.fingerprint != drawn["truth"].fingerprint


def test_the_reference_is_the_truth_where_the_suite_says_so(drawn: dict[str, PreparedCorpus]) -> None:
    splits = {s.study_id: s.split for s in read_studies(drawn["truth"].studies)}
    held = {name: {a.study_id: a for a in read_annotations(c.reference)} for name, c in drawn.items()}
    for study_id, split in splits.items():
        expected = "truth" if split == "test" else "annotations"
        assert held["test-truth"][study_id] == held[expected][study_id]
    assert held["truth"] != held["annotations"]
    assert 0 < drawn["truth"].facts["descriptors_read_back"] <= drawn["truth"].facts["diseases_read_back"] <= 1


def test_the_studies_table_leads_to_the_images_and_holds_no_truth(drawn: dict[str, PreparedCorpus]) -> None:
    corpus = drawn["truth"]
    assert corpus.studies.name == "studies.parquet"
    for study in read_studies(corpus.studies):
        assert (corpus.studies.parent / study.images[0]).exists()
        assert study.labels == {}


def test_a_corpus_is_made_once_and_again_when_its_table_changes(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, patients=12)
    suite = suite_of(values, studies=tmp_path / "mine.csv", fractions={"train": 0.6, "val": 0.2, "test": 0.2})
    first = prepared(suite, tmp_path / "out")
    before = (tmp_path / "out" / RECORD).stat().st_mtime_ns
    assert prepared(suite, tmp_path / "out") == first
    assert (tmp_path / "out" / RECORD).stat().st_mtime_ns == before
    table(tmp_path, patients=13)
    assert prepared(suite, tmp_path / "out").counts["train"] + first.counts["test"] != 0
    assert (tmp_path / "out" / RECORD).stat().st_mtime_ns != before


def table(folder: Path, *, patients: int, split: str = "") -> None:
    """`mine.csv` with a study a patient."""
    head = "image,findings,impression,patient_id" + (",split" if split else "")
    rows = [f"{i}.png,No effusion.,Normal.,p{i}" + (f",{split}" if split else "") for i in range(patients)]
    (folder / "mine.csv").write_text("\n".join([head, *rows]) + "\n")
    for i in range(patients):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_what_cannot_be_used_is_listed(values: dict[str, Any], tmp_path: Path) -> None:
    table(tmp_path, patients=12)
    with (tmp_path / "mine.csv").open("a") as stream:
        stream.write("none.png,Normal.,,p-x\n0.png,,,p-y\n")
    suite = suite_of(values, studies=tmp_path / "mine.csv", fractions={"train": 0.6, "val": 0.2, "test": 0.2})
    corpus = prepared(suite, tmp_path / "out")
    rejects = read_table(tmp_path / "out" / "rejects.parquet", schemas.REJECTS, table="rejects")
    assert len(rejects) == corpus.counts["rejects"] == 2


def test_a_table_without_a_test_split_is_refused_before_reading_reports(
    values: dict[str, Any], tmp_path: Path
) -> None:
    table(tmp_path, patients=5, split="train")
    with pytest.raises(ConfigError, match=r"no study in the test split, to evaluate the methods on \(train 5\)"):
        prepared(suite_of(values, studies=tmp_path / "mine.csv"), tmp_path / "out")
    assert not (tmp_path / "out" / "annotations.parquet").exists()


def test_an_empty_validation_split_is_allowed_unless_something_is_searched(
    values: dict[str, Any], tmp_path: Path
) -> None:
    table(tmp_path, patients=12)
    data = {"studies": tmp_path / "mine.csv", "fractions": {"train": 0.7, "test": 0.3}}
    assert prepared(suite_of(values, **data), tmp_path / "out").counts["validation"] == 0
    for method in values["methods"].values():
        method["grid"] = {"optimizer.learning_rate": [1e-3]}
    with pytest.raises(ConfigError, match="no study in the val split, to search on"):
        prepared(suite_of({**values, "tuning": {"trials": 1}}, **data), tmp_path / "searched")


def test_a_table_without_images_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("study_id,findings,impression,patient_id\na,No effusion.,Normal.,p\n")
    with pytest.raises(TableError, match="no study has an image"):
        prepared(suite_of(values, studies=tmp_path / "mine.csv"), tmp_path / "out")


def test_digest_of_files_and_folders(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x")
    first = content_digest(file)
    file.write_text("y")
    assert content_digest(file) != first
    folder = content_digest(tmp_path)
    (tmp_path / "b.csv").write_text("z")
    assert content_digest(tmp_path) != folder
