from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtrim.errors import ConfigError, TableError
from medtrim.experiments.protocols import PROTOCOLS, Manifest, load_protocol, read_manifest, select, write_manifest
from medtrim.experiments.protocols.schema import Protocol
from medtrim.types import Study
from medtrim.types.yamlfile import dump_yaml

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
OTHERS = (
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
)


def labels(*positive: str, uncertain: str = "") -> dict[str, object]:
    """A row of CheXpert labels: 1.0, −1.0 or empty."""
    values: dict[str, object] = dict.fromkeys((*FIVE, *OTHERS))
    values |= dict.fromkeys(positive, 1.0)
    return values | ({uncertain: -1.0} if uncertain else {})


def study(name: str, **fields: Any) -> Study:
    given: dict[str, Any] = {
        "patient_id": f"p-{name}",
        "view": "PA",
        "impression": f"Impression of {name}.",
        "labels": labels(),
        **fields,
    }
    return Study(study_id=name, **given)


def five_by(count: int) -> list[Study]:
    return [study(f"{i}-{c}", labels=labels(c)) for c in FIVE for i in range(count)]


@pytest.fixture
def protocol() -> Protocol:
    return load_protocol("mimic-5x200").model_copy(update={"per_class": 3})


def ids(manifest: Manifest, part: str = "evaluated") -> list[str]:
    return [entry.study_id for entry in manifest.part(part)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_packaged_protocols_are_whole(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.source
    assert protocol.choices


def test_so_many_of_each_class_and_no_more(protocol: Protocol) -> None:
    manifest = select(protocol, five_by(7))
    assert Counter(e.classes for e in manifest.entries) == {
        (name,): 3 for name in ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
    }


def test_the_draw_depends_on_ids_and_seed_alone(protocol: Protocol) -> None:
    studies = five_by(30)
    shuffled = [studies[i] for i in np.random.default_rng(0).permutation(len(studies))]
    assert select(protocol, studies).entries == select(protocol, shuffled).entries
    other = select(protocol.model_copy(update={"seed": 1}), studies)
    assert ids(other) != ids(select(protocol, studies))


@pytest.mark.parametrize(
    "spoilt",
    [
        study("x", labels=labels("Edema", "Atelectasis")),
        study("x", labels=labels("Edema", "Pneumonia")),
        study("x", labels=labels(uncertain="Edema")),
        study("x", labels=labels()),
        study("x", labels=labels("Edema"), view="LATERAL"),
        study("x", labels=labels("Edema"), view=""),
        study("x", labels=labels("Edema"), impression=""),
    ],
)
def test_who_is_not_exclusively_positive_frontal_and_reported_is_left_out(
    protocol: Protocol, spoilt: Study
) -> None:
    manifest = select(protocol, [*five_by(3), spoilt])
    assert "x" not in ids(manifest)
    assert len(manifest.entries) == 15


def test_uncertain_companions_do_not_exclude(protocol: Protocol) -> None:
    manifest = select(
        protocol, [*five_by(2), *(study(f"u{c}", labels=labels(c, uncertain="Fracture")) for c in FIVE)]
    )
    assert {f"u{c}" for c in FIVE} <= set(ids(manifest))


@pytest.mark.parametrize("value", [1, 1.0, "1", True, "yes"])
def test_positive_is_recognised_however_a_table_spells_it(protocol: Protocol, value: object) -> None:
    one = protocol.model_copy(update={"per_class": 0})
    manifest = select(one, [study("a", labels={**labels(), "Edema": value}), study("b", labels=labels("Edema"))])
    assert ids(manifest) == ["a", "b"]


def test_too_few_studies_name_the_class(protocol: Protocol) -> None:
    with pytest.raises(TableError, match="class 'edema' has 2 studies, 3 are needed"):
        select(protocol, [s for s in five_by(3) if s.study_id != "0-Edema"])


def test_a_missing_label_column_is_named(protocol: Protocol) -> None:
    with pytest.raises(TableError, match="no label column 'Atelectasis'; found: edema"):
        select(protocol, [study("a", labels={"edema": 1})])


def test_columns_are_found_without_case_and_blanks(protocol: Protocol) -> None:
    spelt = [replace(s, labels={k.lower().replace(" ", "_"): v for k, v in s.labels.items()}) for s in five_by(3)]
    assert len(select(protocol, spelt).entries) == 15


def test_same_texts_get_the_same_code() -> None:
    protocol = load_protocol("mimic-retrieval")
    texts = ["No acute disease.", "no  acute\ndisease.", "Effusion.", ""]
    studies = [study(f"s{i}", impression=t, split="test") for i, t in enumerate(texts)]
    studies.append(study("train", impression="Effusion.", split="train"))
    manifest = select(protocol, studies)
    assert [(e.study_id, e.text) for e in manifest.entries] == [("s0", 0), ("s1", 0), ("s2", 1)]
    assert manifest.counts["evaluated: without text"] == 1


def test_probes_have_two_parts_and_need_no_text() -> None:
    protocol = load_protocol("nih-probe")
    rows = [("a", "train", "Effusion|Mass"), ("b", "train", "No Finding"), ("c", "test", "Pleural_Thickening")]
    studies = [
        study(name, split=split, impression="", labels={"Finding Labels": found}) for name, split, found in rows
    ]
    manifest = select(protocol, studies)
    assert [(e.study_id, e.part, e.classes) for e in manifest.entries] == [
        ("c", "evaluated", ("pleural thickening",)),
        ("a", "train", ("effusion", "mass")),
        ("b", "train", ()),
    ]


def test_one_study_a_patient() -> None:
    protocol = load_protocol("openi-retrieval").model_copy(update={"one_per_patient": True})
    studies = [study("b", patient_id="p"), study("a", patient_id="p"), study("c", patient_id="q")]
    assert ids(select(protocol, studies)) == ["a", "c"]


def test_nothing_left_says_what_was_left_out() -> None:
    with pytest.raises(TableError, match="no study is left; studies 1, left out by view 1"):
        select(load_protocol("mimic-retrieval"), [study("a", view="LATERAL")])


def test_manifests_hold_ids_and_nothing_of_the_report(protocol: Protocol, tmp_path: Path) -> None:
    manifest = select(protocol, five_by(4))
    path = tmp_path / "manifest.parquet"
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    assert b"Impression of" not in path.read_bytes()
    assert b"p-0-Edema" not in path.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"texts": "report"}, "unknown key 'texts', is 'text' meant?"),
        ({"labels": None}, "class-retrieval needs labels"),
        ({"task": "linear-probe"}, "linear-probe needs splits and train_splits"),
        ({"splits": ["a"], "train_splits": ["a"]}, "share a split"),
        ({"labels": {"columns": {"a": "A"}, "listed_in": "B"}}, "give either columns or listed_in"),
    ],
)
def test_a_wrong_protocol_is_refused(protocol: Protocol, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(dump_yaml({**protocol.model_dump(mode="json"), **change}), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_protocol(path)
    assert said in str(caught.value)


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no protocol 'mimic-5x20', is 'mimic-5x200' meant"):
        load_protocol("mimic-5x20")
