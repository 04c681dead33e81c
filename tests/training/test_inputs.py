"""What the objective is told of a batch."""

from __future__ import annotations

import numpy as np
import torch

from medtrim.mining.batch import BatchConfig
from medtrim.mining.similarity import encode_studies
from medtrim.objectives import build_objective
from medtrim.training.inputs import corpus_knowledge
from medtrim.types import DEFAULT_CONTRADICTIONS, Annotation, Contradictions, Finding

FINDINGS = (
    (("pleural effusion", ("small",), ("left",)),),
    (("pleural effusion", ("large",), ("left",)),),
    (("pleural effusion", (), ("left",)), ("fracture", (), ("right",))),
    (("pleural effusion", ("small",), ("left", "right")), ("fracture", ("old",), ("left",))),
    (("fracture", ("large",), ("right",)),),
    (),
)
CORPUS = [
    Annotation(f"s{i}", tuple(Finding(d, "present", a, w) for d, a, w in found)) for i, found in enumerate(FINDINGS)
]


def knowledge(contradictions: Contradictions, **options: float):
    return corpus_knowledge(
        build_objective("medtrim", **options),
        encode_studies(CORPUS),
        None,
        count=len(CORPUS),
        mining=BatchConfig(),
        seed=0,
        contradictions=contradictions,
    )


def contradict(ours: Annotation, theirs: Annotation) -> bool:
    return any(
        a.disease == b.disease
        and any(
            DEFAULT_CONTRADICTIONS.conflict(axis, a.adjectives + a.directions, b.adjectives + b.directions)
            for axis in DEFAULT_CONTRADICTIONS.axes
        )
        for a in ours.findings
        for b in theirs.findings
    )


def test_contradictions_of_a_batch_equal_a_loop() -> None:
    rows = np.array([4, 0, 3, 1, 5, 2])
    found = knowledge(DEFAULT_CONTRADICTIONS).of(rows, torch.device("cpu")).contradiction
    expected = [[contradict(CORPUS[a], CORPUS[b]) for b in rows] for a in rows]
    assert found.tolist() == np.array(expected, float).tolist()
    assert 0 < found.sum() < found.numel()


def test_an_ontology_without_contradictions_contradicts_nothing() -> None:
    known = knowledge(Contradictions({})).of(np.arange(4), torch.device("cpu"))
    assert known.contradiction.shape == (4, 4)
    assert not known.contradiction.any()


def test_contradictions_are_looked_up_only_for_objectives_that_weigh_them() -> None:
    known = knowledge(DEFAULT_CONTRADICTIONS, contradiction=0.0).of(np.arange(4), torch.device("cpu"))
    assert known.contradiction is None
    assert known.similarity is not None
