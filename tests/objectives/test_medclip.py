from __future__ import annotations

import math

import pytest
import torch

from medtrim.objectives import build_objective
from medtrim.objectives.labels import label_cosine, label_product, same_set

LABELS = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 1]])


def test_normals_are_alike_and_unlike_the_sick() -> None:
    cosine = label_cosine(LABELS.double())
    assert float(cosine[2, 3]) == pytest.approx(1)
    assert float(cosine[2, 0]) == 0
    assert float(cosine[0, 1]) == pytest.approx(1 / math.sqrt(2))
    assert float(cosine[0, 4]) == pytest.approx(0.5)


def test_the_public_code_takes_products(batch) -> None:
    shared = label_product(LABELS.double())
    assert shared.tolist() == [[2, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 0, 0, 0, 2]]
    inputs = batch(5, labels=LABELS)
    logits = 8.0 * torch.nn.functional.cosine_similarity(inputs.image[:, None], inputs.text[None], dim=2)
    targets = shared.softmax(dim=1)
    expected = -sum((targets * z.log_softmax(dim=1)).sum(dim=1).mean() for z in (logits, logits.T)) / 2
    assert float(build_objective("medclip", label_product=True)(inputs).total) == pytest.approx(float(expected))


def test_same_set_compares_whole_rows() -> None:
    assert same_set(LABELS.double()).int().tolist() == [
        [int(a == b) for b in LABELS.tolist()] for a in LABELS.tolist()
    ]


def test_equals_a_loop(batch) -> None:
    inputs = batch(5, labels=LABELS)
    target = label_cosine(LABELS.double()) / 0.5
    total = 0.0
    for rows, columns in ((inputs.image, inputs.text), (inputs.text, inputs.image)):
        for a, x in enumerate(rows):
            logits = [8.0 * float(x @ y / x.norm() / y.norm()) for y in columns]
            norm = math.log(sum(map(math.exp, logits)))
            powers = [math.exp(float(v)) for v in target[a]]
            total -= sum(p / sum(powers) * (v - norm) for p, v in zip(powers, logits, strict=True))
    objective = build_objective("medclip", target_temperature=0.5)
    assert float(objective(inputs).total) == pytest.approx(total / 5 / 2)
