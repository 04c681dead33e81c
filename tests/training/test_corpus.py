from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtrim.errors import TableError, TrainingError
from medtrim.training.corpus import read_training_corpus
from medtrim.types import Provenance, Triplet
from medtrim.types.tables import (
    annotations_to_table,
    read_annotations,
    read_studies,
    studies_to_table,
    triplets_to_table,
    write_table,
)

PROVENANCE = Provenance(kind="test")


@pytest.fixture
def tables(corpus_folder, tmp_path):
    """Writes changed copies of the corpus's tables, and gives the layer of a recipe that names them."""

    def write(studies=None, annotations=None, triplets=None):
        given = studies or read_studies(corpus_folder / "studies.parquet")
        rooted = [replace(s, images=tuple(str(corpus_folder / i) for i in s.images)) for s in given]
        write_table(studies_to_table(rooted), tmp_path / "studies.parquet", PROVENANCE)
        found = annotations or read_annotations(corpus_folder / "annotations.parquet")
        write_table(annotations_to_table(found), tmp_path / "annotations.parquet", PROVENANCE)
        data = {"studies": tmp_path / "studies.parquet", "annotations": tmp_path / "annotations.parquet"}
        if triplets is not None:
            write_table(triplets_to_table(triplets), tmp_path / "triplets.parquet", PROVENANCE)
            data["triplets"] = tmp_path / "triplets.parquet"
        return {"data": data}

    return write


@pytest.fixture
def studies(corpus_folder):
    return list(read_studies(corpus_folder / "studies.parquet"))


def read(config):
    return read_training_corpus(config, image_size=32)


def test_rows_line_up(recipe, corpus_folder):
    corpus = read(recipe({"data": {"triplets": corpus_folder / "triplets.parquet"}}))
    ids = [s.study_id for s in corpus.studies]
    assert list(corpus.encoded.study_ids) == ids
    assert [corpus.cache.study_ids[r] for r in corpus.image_rows] == ids
    assert corpus.triplets[0].tolist() == [0, 6, 7]
    assert corpus.patients[0] == corpus.patients[40]
    assert len(np.unique(corpus.patients)) == 40


def test_annotations_in_another_order_are_matched_by_id(recipe, tables, corpus_folder):
    backwards = read_annotations(corpus_folder / "annotations.parquet")[::-1]
    corpus = read(recipe(tables(annotations=backwards)))
    assert list(corpus.encoded.study_ids) == [s.study_id for s in corpus.studies]


def test_a_patient_in_two_splits_is_refused(recipe, tables, studies):
    studies[40] = replace(studies[40], split="val")  # of the patient of study 0
    with pytest.raises(TrainingError, match="refuses patients that are in more than one split"):
        read(recipe(tables(studies=studies)))


def test_splits_are_drawn_by_patient_where_the_table_has_none(recipe, tables, studies):
    corpus = read(recipe(tables(studies=[replace(s, split="") for s in studies])))
    ours, theirs = ({s.patient_id for s in part} for part in (corpus.studies, corpus.evaluation))
    assert ours
    assert theirs
    assert not ours & theirs


def test_a_study_without_annotation_is_named(recipe, tables, corpus_folder):
    fewer = read_annotations(corpus_folder / "annotations.parquet")[1:]
    with pytest.raises(TableError, match="1 training studies have none: 's000'"):
        read(recipe(tables(annotations=fewer)))


def test_a_triplet_of_an_unknown_study_is_named(recipe, tables):
    with pytest.raises(TableError, match="negative 'ghost' is not in the studies table"):
        read(recipe(tables(triplets=[Triplet("s000", "s006", "ghost", 1.0, 0.3)])))


def test_triplets_that_reach_outside_the_split_are_counted(recipe, tables, studies):
    studies[1] = replace(studies[1], split="val")
    studies[41] = replace(studies[41], split="val")
    inside, outside = Triplet("s000", "s006", "s007", 1.0, 0.3), Triplet("s000", "s006", "s001", 1.0, 0.3)
    corpus = read(recipe(tables(studies=studies, triplets=[outside, inside])))
    assert corpus.triplets_left_out == 1
    assert [corpus.studies[r].study_id for r in corpus.triplets[0]] == ["s000", "s006", "s007"]
    with pytest.raises(TableError, match="none of 1 lies within split 'train'"):
        read(recipe(tables(studies=studies, triplets=[outside])))


def test_broken_images_and_empty_reports_are_rejected_with_their_ids(recipe, tables, studies, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    studies[2] = replace(studies[2], images=(str(tmp_path / "bad.png"),))
    studies[3] = replace(studies[3], findings="", impression=" ")
    corpus = read(recipe(tables(studies=studies)))
    assert sorted(r.study_id for r in corpus.rejects) == ["s002", "s003"]
    assert len(corpus) == 46


def test_an_empty_split_lists_those_there_are(recipe):
    with pytest.raises(TrainingError, match="no usable study in split 'training'; splits found: 'train'"):
        read(recipe({"data": {"train_split": "training"}}))


def test_a_complete_cache_is_used_as_it_is(recipe, corpus_folder, tmp_path):
    first = read(recipe({"data": {"cache": tmp_path / "cache"}}))
    # Another size would be refused if the cache were built again.
    again = read_training_corpus(recipe({"data": {"cache": tmp_path / "cache"}}), image_size=64)
    assert again.cache.size == first.cache.size == 32
