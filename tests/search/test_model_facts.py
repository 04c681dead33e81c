from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from medtrim.models import load_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.index import build_index
from medtrim.search.model_facts import UNKNOWN, describe_model
from medtrim.search.store import StudyIndex
from medtrim.types import Annotation, Study


def test_what_a_checkpoint_says_of_itself(
    corpus: tuple[Path, list[Study], list[Annotation]], checkpoint: Path, tmp_path: Path
) -> None:
    root, studies, annotations = corpus
    model = shutil.copytree(checkpoint, tmp_path / "model")
    told = json.loads((model / "medtrim.json").read_text())
    told["config"] = {"objective": {"name": "medtrim"}, "epochs": 20.0}
    told["extra"] = {"studies": 4000, "patients": 2923}
    told["ontology"] = {"name": "medtrim-cxr", "version": "1.0", "hash": "35a140f94c08165dc4fd"}
    (model / "medtrim.json").write_text(json.dumps(told))
    index = StudyIndex(build_index(model, studies, annotations, tmp_path / "index", root=root).folder)
    facts = describe_model(index, QueryEncoder(load_checkpoint(model)))
    assert facts["Training data"] == "4,000 studies of 2,923 patients"
    assert facts["Objective"] == "medtrim, 20 epochs"
    assert facts["Ontology"] == "medtrim-cxr 1.0 (35a140f94c08)"
    assert re.fullmatch(r"6 studies, written \d{4}-\d\d-\d\d", facts["Index"])
    assert re.fullmatch(r"\d+\.\d million parameters, vectors of \d+", facts["Size"])


def test_what_a_checkpoint_does_not_say_is_not_recorded(
    corpus: tuple[Path, list[Study], list[Annotation]], checkpoint: Path, tmp_path: Path
) -> None:
    root, studies, annotations = corpus
    model = shutil.copytree(checkpoint, tmp_path / "model")
    (model / "medtrim.json").unlink()
    index = StudyIndex(build_index(model, studies, annotations, tmp_path / "index", root=root).folder)
    facts = describe_model(index, QueryEncoder(load_checkpoint(model)))
    assert [facts[name] for name in ("Objective", "Training data", "Ontology")] == [UNKNOWN] * 3
