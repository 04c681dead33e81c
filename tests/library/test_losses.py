"""Losses for one's own loop are the registered objectives, and targets are those of the studies named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import medtrim
from medtrim.errors import ConfigError, TableError, TrainingError
from medtrim.mining.conflicts import ConflictFinder
from medtrim.mining.similarity import encode_studies
from medtrim.objectives import ObjectiveInputs, SimilarityTensors, build_objective
from medtrim.types.sources import load_annotations

TEXTS = ["Small left effusion.", "Large left effusion.", "Right effusion.", "Clear.", "Edema.", "Left effusion."]
IDS = list("abcdef")


@pytest.fixture(scope="module")
def found():
    return medtrim.annotate(TEXTS, study_ids=IDS)


@pytest.fixture(scope="module")
def targets(found):
    return medtrim.FindingTargets.from_annotations(found)


def features(count: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=rng), torch.randn(count, 8, generator=rng)


def plain_similarity(found, ids) -> SimilarityTensors:
    """Term by term and pair by pair, from the explanation of each score."""
    whys = [[medtrim.explain_score(a, b, found) for b in ids] for a in ids]
    sums = {
        n: torch.tensor([[getattr(w, n) for w in row] for row in whys]).float()
        for n in ("disease", "adjective", "direction")
    }
    return SimilarityTensors(**sums)


def test_the_loss_is_the_registered_objective_on_the_batch_named(found, targets):
    batch = ["f", "b", "d", "c"]
    image, text = features(4)
    annotations = {a.study_id: a for a in load_annotations(found).annotations}
    encoded = encode_studies([annotations[i] for i in batch])
    conflicts = ConflictFinder(encoded).block(encoded.inverse, encoded.inverse)
    assert conflicts.any()
    objective = build_objective("medtrim")
    for progress in (0.0, 0.4, 1.0):
        expected = objective(
            ObjectiveInputs(
                image=image,
                text=text,
                log_scale=torch.tensor(objective.initial_log_scale),
                progress=progress,
                similarity=plain_similarity(found, batch),
                contradiction=torch.from_numpy(conflicts).float(),
            )
        )
        got = medtrim.MedTrimLoss().output(image, text, targets[batch], progress=progress)
        torch.testing.assert_close(got.total, expected.total)
        assert set(got.terms) == set(expected.terms)
    permuted = medtrim.MedTrimLoss()(image[[2, 0, 1, 3]], text[[2, 0, 1, 3]], targets[["d", "f", "b", "c"]])
    torch.testing.assert_close(permuted, medtrim.MedTrimLoss()(image, text, targets[batch]))
    wrong = medtrim.MedTrimLoss()(image, text, targets[["a", "b", "c", "d"]])
    assert not torch.isclose(wrong, permuted)


def test_targets_of_a_batchs_own_reports(found, targets):
    image, text = features(6)
    own = medtrim.FindingTargets.from_reports(TEXTS)
    loss = medtrim.MedTrimLoss()
    assert loss(image, text, own).item() == loss(image, text, targets[IDS]).item()
    assert own.study_ids == ("0", "1", "2", "3", "4", "5")
    assert targets[["d", "e"]].labels().sum(dim=1).tolist() == [0, 1]
    assert targets.diseases[int(targets[["e"]].labels().argmax())] == "edema"


def test_a_loop_over_shuffled_batches_learns(targets):
    torch.manual_seed(0)
    image_side, text_side = torch.nn.Embedding(6, 8), torch.nn.Embedding(6, 8)
    loss = medtrim.MedTrimLoss()
    optimizer = torch.optim.Adam([*image_side.parameters(), *text_side.parameters(), *loss.parameters()], lr=0.05)
    rng, values = np.random.default_rng(0), []
    for _ in range(60):
        rows = rng.permutation(6)[:4]
        value = loss(
            image_side(torch.from_numpy(rows)), text_side(torch.from_numpy(rows)), targets[[IDS[i] for i in rows]]
        )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert np.mean(values[-10:]) < 0.7 * np.mean(values[:10])
    assert loss.log_scale.item() != pytest.approx(loss.objective.initial_log_scale)


def test_triplets_of_a_table_and_of_the_batch(found, targets):
    image, text = features(6, seed=2)
    ids = ["c", "a", "f", "e", "b", "d"]
    triplets = medtrim.mine_triplets(found, method="batch", limit=0)[ids]
    assert len(triplets)
    loss = medtrim.TripletLoss(margin=0.2)
    unit = [torch.nn.functional.normalize(x, dim=1).double() for x in (image, text)]
    total = 0.0
    for a, p, n in triplets.indices.tolist():
        for anchors in unit:
            for others in unit:
                near, far = (1 - float(anchors[a] @ others[j]) for j in (p, n))
                total += max(0.0, near - far + 0.2) / 2 / len(triplets)
    assert loss(image, text, triplets).item() == pytest.approx(total, rel=1e-5)
    assert loss(image, text, targets[ids]).item() == pytest.approx(total, rel=1e-5)
    assert not list(loss.parameters())
    two = targets[["c", "a"]]
    assert loss(image[:2], text[:2], two).item() == 0


def test_logit_scale_is_the_inverse_temperature():
    image, text = features(5)
    loss = medtrim.AlignmentLoss(medtrim.build_objective("clip"), learn_scale=False)
    logits = 20 * torch.nn.functional.normalize(image, dim=1) @ torch.nn.functional.normalize(text, dim=1).T
    rows = torch.arange(5)
    expected = (
        torch.nn.functional.cross_entropy(logits, rows) + torch.nn.functional.cross_entropy(logits.T, rows)
    ) / 2
    for scale in (20.0, torch.tensor(math.log(20.0)).exp()):
        torch.testing.assert_close(loss(image, text, logit_scale=scale), expected)
    half = loss(image.bfloat16(), text.bfloat16(), logit_scale=20.0)
    torch.testing.assert_close(half, expected, atol=0.1, rtol=0.05)


def test_what_could_be_confused_is_refused(targets):
    image, text = features(3)
    loss = medtrim.MedTrimLoss()
    for wrong, message in (
        ([0, 1, 2], "received int. Positions are refused"),
        (torch.tensor([0, 1, 2]), "received Tensor"),
        (np.array([0, 1, 2]), "received int64"),
        (["a", "b", "z"], "1 of 3 studies are not among the targets: 'z'"),
        ("abc", "not one text"),
    ):
        with pytest.raises(TableError, match=message):
            targets[wrong]
    with pytest.raises(TrainingError, match="features of 3 studies, targets of 6"):
        loss(image, text, targets)
    with pytest.raises(ConfigError, match="needs"):
        loss(image, text)
    with pytest.raises(ConfigError, match="above 0; received -1"):
        loss(image, text, targets[["a", "b", "c"]], logit_scale=-1.0)
    with pytest.raises(ConfigError, match="needs local"):
        medtrim.AlignmentLoss(medtrim.build_objective("gloria"))
    with pytest.raises(ConfigError, match="contradiction"):
        medtrim.MedTrimLoss(contradicton=1.0)
