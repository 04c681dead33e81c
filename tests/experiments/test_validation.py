from __future__ import annotations

from pathlib import Path

import pytest

from medtrim.data import ImageCache
from medtrim.data.phantom import make_corpus
from medtrim.errors import TableError
from medtrim.experiments.validation import make_validator
from medtrim.training import build_config
from medtrim.types import Annotation, Provenance
from medtrim.types.tables import annotations_to_table, read_studies, write_table


def test_a_validation_study_without_annotation_is_named(tmp_path: Path) -> None:
    make_corpus(40, tmp_path, seed=0, size=32, workers=1)
    studies = read_studies(tmp_path / "studies.parquet")
    ImageCache.build(studies, root=tmp_path, size=32, path=tmp_path / "cache", workers=1)
    missing = next(s.study_id for s in studies if s.split == "val")
    annotated = [Annotation(s.study_id) for s in studies if s.study_id != missing]
    write_table(annotations_to_table(annotated), tmp_path / "annotations.parquet", Provenance("annotations"))
    data = {name: str(tmp_path / file) for name, file in (("studies", "studies.parquet"), ("cache", "cache"))}
    data["annotations"] = str(tmp_path / "annotations.parquet")
    config = build_config({"recipe": "tiny-cpu", "data": data, "out": str(tmp_path / "run")})
    with pytest.raises(TableError, match=f"no annotation of validation study '{missing}'"):
        make_validator(config)
