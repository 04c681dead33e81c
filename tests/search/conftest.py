"""A small corpus, an untrained model and an index of it: search must work whatever the model has learnt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from medtrim.models import build_dual_encoder, load_checkpoint, save_checkpoint
from medtrim.search import readout, serving
from medtrim.search.encoder import QueryEncoder
from medtrim.search.guard import App
from medtrim.search.index import build_index, calibrate_index
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex
from medtrim.types import Annotation, Finding, Provenance, Study

REPORTS = (
    ("s0", "Large left pleural effusion.", Finding("pleural effusion", "present", ("large",), ("left",))),
    ("s1", "Small right pleural effusion.", Finding("pleural effusion", "present", ("small",), ("right",))),
    ("s2", "No pleural effusion.", Finding("pleural effusion", "absent")),
    ("s3", "Possible right apical pneumothorax.", Finding("pneumothorax", "uncertain", (), ("apical", "right"))),
    ("s'4", "Mild pulmonary edema.", Finding("edema", "present", ("mild",))),
    ("s5", "Moderate pulmonary edema.", Finding("edema", "present", ("moderate",))),
)


def recognize(text: str) -> tuple[Finding, ...]:
    """A recogniser that knows the reports above by heart and nothing else."""
    return tuple(finding for _, report, finding in REPORTS if report == text)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Study], list[Annotation]]:
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(5)
    studies = []
    for study_id, report, _ in REPORTS:
        name = f"{study_id.replace(chr(39), '')}.png"
        Image.fromarray(rng.integers(0, 255, (80, 72), dtype=np.uint8)).save(root / name)
        studies.append(Study(study_id, f"p-{study_id}", (name,), findings=report, impression="See above."))
    return root, studies, [Annotation(study_id, (finding,)) for study_id, _, finding in REPORTS]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [report for _, report, _ in REPORTS] * 4
    bundle = build_dual_encoder("tiny", texts=texts, seed=0)
    return save_checkpoint(bundle, tmp_path_factory.mktemp("models") / "model", Provenance("checkpoint"))


@pytest.fixture(scope="session")
def index_folder(
    corpus: tuple[Path, list[Study], list[Annotation]], checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root, studies, annotations = corpus
    out = tmp_path_factory.mktemp("indexes") / "index"
    return build_index(checkpoint, studies, annotations, out, root=root, thumbnail=48).folder


@pytest.fixture(scope="session")
def calibrated(
    corpus: tuple[Path, list[Study], list[Annotation]], checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An index with one study that is not read, calibrated as if two studies of each answer were enough."""
    root, studies, annotations = corpus
    silent = replace(studies[1], study_id="silent", findings="", impression="")
    out = tmp_path_factory.mktemp("readout") / "index"
    known = [*annotations, Annotation("silent", (), read=False)]
    build_index(checkpoint, [*studies, silent], known, out, root=root, thumbnail=48, copy_model=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readout, "FEWEST", 2)
        made = calibrate_index(out, studies, annotations, root=root)
    assert set(made["questions"]) == {"edema", "pleural effusion"}
    assert made["studies"] == 6
    return out


@pytest.fixture(scope="session")
def searcher(index_folder: Path) -> Searcher:
    index = StudyIndex(index_folder)
    return Searcher(index, QueryEncoder(load_checkpoint(index.model_folder)), recognize)


@contextmanager
def serve(app: App) -> Iterator[int]:
    """Run `app` on a free port in a thread, as `medtrim serve` does; yields the port."""
    bound = serving.bind("127.0.0.1", 0)
    config = uvicorn.Config(app, http=serving.Connection, ws="none", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(120)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def serving_thread() -> object:
    """`serve`, for tests that cannot import it."""
    return serve
