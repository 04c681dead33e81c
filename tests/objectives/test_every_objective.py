"""What holds for all objectives, whatever their equation."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from medtrim.errors import ConfigError, TrainingError
from medtrim.objectives import OBJECTIVES, build_objective, objective_options
from medtrim.objectives.base import _FIELDS
from medtrim.objectives.geometry import unit

NAMES = list(OBJECTIVES)
SIZES = {"dimension": 5, "classes": 4}


def run(name, inputs):
    leaves = {"image": inputs.image.clone().requires_grad_(), "text": inputs.text.clone().requires_grad_()}
    output = build_objective(name, **SIZES)(replace(inputs, **leaves))
    output.total.backward()
    return output, leaves


@pytest.mark.parametrize("name", NAMES)
def test_terms_add_up_and_gradients_are_finite(batch, name) -> None:
    output, leaves = run(name, batch())
    assert torch.isfinite(output.total)
    total = output.total.detach()
    assert float(total) == pytest.approx(sum(float(t.detach()) for t in output.terms.values()))
    for leaf in leaves.values():
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_zero_vectors_are_harmless(batch, name) -> None:
    inputs = batch()
    image, text = inputs.image.clone(), inputs.text.clone()
    image[0], text[1] = 0, 0
    output, leaves = run(name, replace(inputs, image=image, text=text))
    assert torch.isfinite(output.total)
    for leaf in leaves.values():
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_out_in_single(batch, name, dtype) -> None:
    inputs = batch()
    rounded = {
        key: getattr(inputs, key).to(dtype)
        for key in ("image", "text", "log_scale", "image_local", "text_local", "image_view", "text_view")
    }
    torch.manual_seed(0)
    half = build_objective(name, **SIZES)(replace(inputs, **rounded)).total
    torch.manual_seed(0)
    single = build_objective(name, **SIZES)(
        replace(inputs, **{key: value.float() for key, value in rounded.items()})
    ).total
    assert half.dtype == torch.float32
    assert float(half.detach()) == float(single.detach())


@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_reach_the_loss(batch, name) -> None:
    inputs = batch()
    single = replace(inputs, image=inputs.image.float(), text=inputs.text.float())
    objective = build_objective(name, **SIZES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = objective(single).total
    assert float(inside.detach()) == float(objective(single).total.detach())


@pytest.mark.parametrize("name", NAMES)
def test_one_study_alone_is_finite(batch, name) -> None:
    inputs = batch(1, triplets=torch.zeros(1, 3, dtype=torch.long))
    output, leaves = run(name, inputs)
    assert torch.isfinite(output.total)
    assert leaves["image"].grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_batch_does_not_matter(batch, name) -> None:
    inputs = batch()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    place = torch.argsort(order)
    s = inputs.similarity
    shuffled = replace(
        inputs,
        **{
            key: getattr(inputs, key)[order]
            for key in (
                "image",
                "text",
                "labels",
                "image_local",
                "text_local",
                "text_mask",
                "image_view",
                "text_view",
            )
        },
        similarity=replace(
            s,
            disease=s.disease[order][:, order],
            adjective=s.adjective[order][:, order],
            direction=s.direction[order][:, order],
        ),
        contradiction=inputs.contradiction[order][:, order],
        triplets=place[inputs.triplets],
        concepts=replace(inputs.concepts, target=inputs.concepts.target[order]),
    )
    objective = build_objective(name, **SIZES)
    assert float(objective(shuffled).total.detach()) == pytest.approx(float(objective(inputs).total.detach()))


@pytest.mark.parametrize("name", NAMES)
def test_length_of_the_embeddings_does_not_matter(batch, name) -> None:
    if name == "label-only":
        pytest.skip("a classifier sees raw embeddings")
    inputs = batch()
    objective = build_objective(name, **SIZES)
    longer = replace(inputs, image=inputs.image * 3, text=inputs.text * 0.2)
    assert float(objective(longer).total.detach()) == pytest.approx(float(objective(inputs).total.detach()))


@pytest.mark.parametrize("name", NAMES)
def test_missing_inputs_are_named(batch, name) -> None:
    objective = build_objective(name, **SIZES)
    for need in objective.needs:
        for field in _FIELDS[need]:
            with pytest.raises(ConfigError, match=field):
                objective(replace(batch(), margins=None, **{field: None}))


@pytest.mark.parametrize("name", NAMES)
def test_registry_knows_options_and_scale(name) -> None:
    assert not set(objective_options(name)) & {"dimension", "classes", "self"}
    objective = build_objective(name, **SIZES, **objective_options(name))
    assert math.exp(objective.initial_log_scale) == pytest.approx(objective.initial_scale)


def test_unknown_names_and_options_give_the_nearest() -> None:
    with pytest.raises(ConfigError, match="is 'clip' meant"):
        build_objective("klip")
    with pytest.raises(ConfigError, match="'medtrim-triplet' has no option 'margn', is 'margin' meant"):
        build_objective("medtrim-triplet", margn=0.1)


def test_contradicting_shapes_are_refused(batch) -> None:
    with pytest.raises(TrainingError, match=r"received \(0, 5\)"):
        batch(0, triplets=None)
    with pytest.raises(TrainingError, match="progress"):
        batch(progress=1.5)
    with pytest.raises(TrainingError, match="labels must have 7 rows"):
        batch(labels=torch.zeros(6, 4))
    with pytest.raises(TrainingError, match="margins must have 0 rows"):
        batch(triplets=None, margins=torch.zeros(3))
    with pytest.raises(TrainingError, match="similarity must have 7 rows"):
        batch(similarity=batch(6).similarity)


def test_a_diverged_encoder_does_not_look_like_a_silent_one():
    features = torch.ones(3, 4)
    features[1, 2] = torch.nan
    assert torch.isnan(unit(features)[1]).all()
    assert torch.isfinite(unit(features)[[0, 2]]).all()
    assert (unit(torch.zeros(2, 4)) == 0).all()
