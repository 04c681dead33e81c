from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medtrim.entities import caption
from medtrim.errors import ConfigError, TableError
from medtrim.models import load_checkpoint, save_checkpoint
from medtrim.search.encoder import QueryEncoder
from medtrim.search.index import build_index
from medtrim.search.query import Query
from medtrim.search.searcher import Searcher
from medtrim.search.store import StudyIndex
from medtrim.types import Annotation, Finding, Provenance, Study

Corpus = tuple[Path, list[Study], list[Annotation]]


def test_an_index_holds_every_study_and_its_own_model(index_folder: Path, corpus: Corpus) -> None:
    index = StudyIndex(index_folder)
    assert len(index) == len(corpus[1])
    assert index.diseases == ("edema", "pleural effusion", "no finding", "pneumothorax")
    assert index.model_folder == index_folder / "model-1"
    study = index.study("s'4")
    assert study.report_findings == "Mild pulmonary edema."
    assert study.findings[0].adjectives == ("mild",)
    assert (index.thumbnail(study.row) or b"").startswith(b"\xff\xd8")
    assert index.thumbnail(999) is None


def test_a_model_that_reads_findings_takes_them_from_the_annotations(
    corpus: Corpus, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, studies, annotations = corpus
    bundle = load_checkpoint(checkpoint)
    bundle.model.config.reads = "findings"
    model = save_checkpoint(bundle, tmp_path / "model", Provenance("checkpoint"))
    silent = [replace(studies[0], findings="Efusión pleural."), *studies[1:]]
    known = [Annotation("s0", (), read=False), *annotations[1:]]
    monkeypatch.setattr(caption, "_default", lambda: pytest.fail("reports are recognised a second time"))
    build_index(model, silent, known, tmp_path / "index", root=root, copy_model=False, thumbnail=0)
    index, encoder = StudyIndex(tmp_path / "index"), QueryEncoder(load_checkpoint(model))

    def words_of(study_id: str) -> list[float]:
        return index.vector(study_id, "text").tolist()

    said = ["Efusión pleural. See above.", "small right pleural effusion", "no finding", "mild edema"]
    for study_id, vector in zip(("s0", "s1", "s2", "s'4"), encoder.texts(said), strict=True):
        assert words_of(study_id) == pytest.approx(vector, abs=1e-5)

    # The words of a query are read by the index's ontology, not by the default one.
    foreign = Finding("pleural effusion", "present", ("small",), ("right",))
    searcher = Searcher(index, encoder, lambda text: (foreign,) if "derecha" in text else ())
    found = searcher.search(Query("pequeña efusión derecha", against="text", mode="embedding", k=1)).hits
    assert (found[0].study.study_id, found[0].similarity) == ("s1", pytest.approx(1, abs=1e-5))


def test_unreadable_images_are_rejected_and_the_rest_indexed(
    corpus: Corpus, checkpoint: Path, tmp_path: Path
) -> None:
    root, studies, annotations = corpus
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    bad = [
        replace(studies[0], images=("missing.png",)),
        replace(studies[1], images=(str(tmp_path / "broken.png"),)),
        replace(studies[2], images=()),
        *studies[3:],
    ]
    seen: list[tuple[int, int]] = []
    build = build_index(
        checkpoint,
        bad,
        annotations,
        tmp_path / "index",
        root=root,
        copy_model=False,
        thumbnail=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [r.study_id for r in build.rejects] == ["s0", "s1", "s2"]
    assert "missing" in build.rejects[0].reason
    assert build.rejects[2].reason == "study has no image"
    assert seen == [(6, 6)]
    index = StudyIndex(tmp_path / "index")
    assert len(index) == 3
    assert index.model_folder == checkpoint.absolute()
    assert not index.study("s3").has_thumbnail
    assert index.thumbnail(index.study("s3").row) is None


def test_an_index_is_replaced_but_nothing_else_is(corpus: Corpus, checkpoint: Path, tmp_path: Path) -> None:
    root, studies, annotations = corpus
    out = tmp_path / "index"
    build_index(checkpoint, studies[:2], annotations, out, root=root, copy_model=False)
    build_index(checkpoint, studies[:3], annotations, out, root=root, copy_model=False)
    assert len(StudyIndex(out)) == 3
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(TableError, match="holds no index"):
        build_index(checkpoint, studies, annotations, other, root=root)
    assert (other / "thesis.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index", "precious"]


def test_nothing_is_left_behind_where_nothing_can_be_indexed(
    corpus: Corpus, checkpoint: Path, tmp_path: Path
) -> None:
    root, studies, annotations = corpus
    with pytest.raises(TableError, match="none of the 1 studies has a readable image"):
        build_index(checkpoint, [replace(studies[0], images=())], annotations, tmp_path / "index", root=root)
    assert list(tmp_path.iterdir()) == []


def test_studies_and_annotations_must_fit(corpus: Corpus, checkpoint: Path, tmp_path: Path) -> None:
    root, studies, annotations = corpus
    with pytest.raises(TableError, match="5 studies have no annotation, the first is 's1'"):
        build_index(checkpoint, studies, annotations[:1], tmp_path / "index", root=root)
    with pytest.raises(TableError, match="duplicate study id"):
        build_index(checkpoint, [studies[0], studies[0]], annotations, tmp_path / "index", root=root)
    with pytest.raises(ConfigError, match="thumbnail"):
        build_index(checkpoint, studies, annotations, tmp_path / "index", root=root, thumbnail=-1)


def test_an_object_store_is_refused_and_no_folder_of_that_name_appears(
    corpus: Corpus, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, studies, annotations = corpus
    monkeypatch.chdir(tmp_path)
    for refused in (
        lambda: StudyIndex(Path("s3://bucket/index")),
        lambda: build_index(checkpoint, studies, annotations, "s3://bucket/index", root=root),
    ):
        with pytest.raises(ConfigError, match="not at an object store's address"):
            refused()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_index_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="medtrim index CHECKPOINT"):
        StudyIndex(tmp_path)
    (tmp_path / "index.json").write_text('{"format": 99}')
    with pytest.raises(TableError, match="format 99"):
        StudyIndex(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(TableError, match="cannot be read"):
        StudyIndex(tmp_path)
    (tmp_path / "index.json").write_text('{"format": 4, "table": "studies-1", "version": 1}')
    with pytest.raises(TableError, match="no table of studies"):
        StudyIndex(tmp_path)
