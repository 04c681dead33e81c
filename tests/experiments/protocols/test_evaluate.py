"""Class retrieval and probes on drawn studies with label columns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medtrim.data.phantom import make_corpus
from medtrim.errors import TableError
from medtrim.experiments.protocols import evaluate_protocol, load_protocol, select
from medtrim.experiments.protocols.schema import Labels
from medtrim.models import EncoderBundle, build_dual_encoder
from medtrim.types import Study
from medtrim.types.tables import read_studies


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Study], EncoderBundle]:
    folder = tmp_path_factory.mktemp("phantoms")
    make_corpus(60, folder, seed=2, size=64)
    studies = read_studies(folder / "studies.parquet")
    marked = [replace(s, labels={"Edema": i % 2, "Mass": (i + 1) % 2}, view="PA") for i, s in enumerate(studies)]
    return folder, marked, build_dual_encoder("tiny", texts=[s.report for s in studies], seed=0)


def test_class_retrieval_has_precision_and_accuracy(corpus: tuple[Path, list[Study], EncoderBundle]) -> None:
    folder, studies, bundle = corpus
    labels = Labels(columns={"edema": "Edema", "lung lesion": "Mass"})
    changes = {"labels": labels, "competing": {}, "per_class": 10, "cuts": (1, 10), "text": "report"}
    protocol = load_protocol("mimic-5x200").model_copy(update=changes)
    verdict = evaluate_protocol(select(protocol, studies), studies, bundle, root=folder, resamples=20)
    assert verdict.studies == 20
    keys = {(f.task, f.direction, f.metric, f.label) for f in verdict.figures}
    assert ("retrieval", "i2t", "P@10", "") in keys
    assert ("zero-shot", "", "accuracy", "edema") in keys
    assert all(0 <= f.low <= f.value <= f.high <= 1 for f in verdict.figures)


def test_probes_by_share_of_labels(corpus: tuple[Path, list[Study], EncoderBundle], tmp_path: Path) -> None:
    folder, studies, bundle = corpus
    protocol = load_protocol("rsna-probe").model_copy(
        update={"labels": Labels(columns={"edema": "Edema"}), "fractions": (0.5, 1.0)}
    )
    verdict = evaluate_protocol(select(protocol, studies), studies, bundle, root=folder, resamples=20)
    assert {f.task for f in verdict.figures} == {"probe 50%", "probe 100%"}
    verdict.write(tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text())["protocol"]["name"] == "rsna-probe"


def test_patients_on_both_sides_are_refused(corpus: tuple[Path, list[Study], EncoderBundle]) -> None:
    folder, studies, bundle = corpus
    protocol = load_protocol("rsna-probe").model_copy(update={"labels": Labels(columns={"edema": "Edema"})})
    same = [replace(s, patient_id="p") for s in studies]
    with pytest.raises(TableError, match="a patient is in both"):
        evaluate_protocol(select(protocol, same), same, bundle, root=folder, resamples=5)


def test_a_manifest_of_other_studies_is_refused(corpus: tuple[Path, list[Study], EncoderBundle]) -> None:
    folder, studies, bundle = corpus
    manifest = select(load_protocol("openi-retrieval"), studies)
    with pytest.raises(TableError, match="1 studies of the manifest are not in the table"):
        evaluate_protocol(manifest, studies[1:], bundle, root=folder, resamples=5)
