"""The example of another language: Spanish, laid over the default ontology."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtrim.entities import Recognizer, load_ontology
from medtrim.entities.lint import lint_ontology

EXAMPLE = Path(__file__).parents[2] / "examples" / "ontology" / "spanish.yaml"
CASES = [
    ("Pequeño derrame pleural izquierdo.", [("pleural effusion", "present", ("small",), ("left",))]),
    ("Derrame pleural derecho moderado.", [("pleural effusion", "present", ("moderate",), ("right",))]),
    ("No se observa neumotórax.", [("pneumothorax", "absent", (), ())]),
    (
        "Sin derrame, neumotórax ni consolidación.",
        [
            ("pleural effusion", "absent", (), ()),
            ("pneumothorax", "absent", (), ()),
            ("consolidation", "absent", (), ()),
        ],
    ),
    (
        "Opacidad parcheada en el lóbulo inferior izquierdo.",
        [("lung opacity", "present", ("patchy",), ("left", "lower"))],
    ),
    ("Atelectasias laminares bibasales.", [("atelectasis", "present", ("streaky",), ("basal", "left", "right"))]),
    ("Probable neumonía en base derecha.", [("pneumonia", "uncertain", (), ("basal", "right"))]),
    ("No se puede descartar neumonía.", [("pneumonia", "uncertain", (), ())]),
    ("Silueta cardíaca aumentada de tamaño.", [("cardiomegaly", "present", (), ())]),
    ("Silueta cardíaca de tamaño normal.", [("cardiomegaly", "absent", (), ())]),
    (
        "Cardiomegalia leve con derrame pleural bilateral.",
        [("cardiomegaly", "present", ("mild",), ()), ("pleural effusion", "present", (), ("left", "right"))],
    ),
    ("Sin cambios en el derrame izquierdo.", [("pleural effusion", "present", (), ("left",))]),
    (
        "Múltiples nódulos pulmonares en ambos pulmones.",
        [("lung lesion", "present", ("multiple",), ("left", "right"))],
    ),
    (
        "Fracturas costales antiguas derechas, pero sin neumotórax.",
        [("fracture", "present", ("healed",), ("right",)), ("pneumothorax", "absent", (), ())],
    ),
    ("NEUMOTÓRAX IZQUIERDO PEQUEÑO.", [("pneumothorax", "present", ("small",), ("left",))]),
]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(load_ontology(EXAMPLE))


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_spanish_sentence(recognizer: Recognizer, text: str, expected: list[object]) -> None:
    found = recognizer.annotate_text(text)
    assert [(f.disease, f.assertion, f.adjectives, f.directions) for f in found] == expected


def test_english_still_reads_the_same(recognizer: Recognizer) -> None:
    text = "Small left effusion. No pneumothorax. Mild cardiomegaly."
    assert recognizer.annotate_text(text) == Recognizer().annotate_text(text)


def test_the_example_lints_clean() -> None:
    assert lint_ontology(load_ontology(EXAMPLE)) == ()
