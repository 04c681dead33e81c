from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import SimilarityTensors, build_objective
from medtrim.objectives.annealed_kernel import sharpness
from medtrim.objectives.soft_targets import class_sizes


def softmax(values):
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def plain(inputs, affinity, *, cross=True, within=True, image_weight=1.0, text_weight=1.0, inner=None):
    """Anchor by anchor, candidate by candidate; `inner` is the affinity within a modality, where it is another."""
    size, scale, total = len(inputs.image), math.exp(float(inputs.log_scale)), 0.0
    for x, y, own, weight in (
        (inputs.image, inputs.text, True, 1.0),
        (inputs.text, inputs.image, True, 1.0),
        (inputs.image, inputs.image, False, image_weight),
        (inputs.text, inputs.text, False, text_weight),
    ):
        if not (cross if own else within):
            continue
        for a in range(size):
            others = [r for r in range(size) if own or r != a]
            wanted = affinity if own or inner is None else inner
            target = softmax([float(wanted[a, r]) for r in others])
            guess = softmax([scale * float(x[a] @ y[r] / x[a].norm() / y[r].norm()) for r in others])
            total -= weight * sum(t * math.log(g) for t, g in zip(target, guess, strict=True)) / size / 2
    return total


@pytest.mark.parametrize(("cross", "within"), [(True, True), (True, False), (False, True)])
def test_score_targets_equal_a_loop(batch, cross, within) -> None:
    inputs = batch()
    s = inputs.similarity
    affinity = (0.5 * s.disease + 0.3 * s.adjective + 0.2 * s.direction) / 0.1
    objective = build_objective(
        "soft-targets",
        disease=0.5,
        adjective=0.3,
        direction=0.2,
        temperature=0.1,
        cross_modal=cross,
        within_modal=within,
    )
    assert float(objective(inputs).total) == pytest.approx(plain(inputs, affinity, cross=cross, within=within))


@pytest.mark.parametrize(("progress", "g"), [(0.0, 0.3), (0.35, 0.3**0.5), (0.7, 1.0), (1.0, 1.0)])
def test_annealed_kernel_equals_a_loop(batch, progress, g) -> None:
    inputs = batch(progress=progress)
    s, share = inputs.similarity, math.log(g) / math.log(0.3)
    affinity = 0.6**share * 14 * s.disease
    descriptors = g * (14 * s.adjective + 18 * s.direction - 15 * inputs.contradiction)
    inner = 0.2 * (1.75 * affinity + descriptors)
    expected = plain(inputs, affinity + descriptors, inner=inner)
    assert float(build_objective("medtrim")(inputs).total) == pytest.approx(expected)


def test_contradictions_move_the_pull_elsewhere(batch) -> None:
    """A study that contradicts the anchor gets no share, though its similarities are as high as another's."""
    one = torch.ones(3, 3, dtype=torch.float64)
    against = torch.tensor([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.float64)
    similarity = SimilarityTensors(disease=one, adjective=0 * one, direction=0 * one)
    inputs = batch(3, similarity=similarity, contradiction=against, progress=1.0)
    objective = build_objective("medtrim", contradiction=50.0, within_modal=False)
    affinity = objective.affinity(similarity, against, 1.0)
    assert affinity.softmax(dim=1)[0].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-9)
    assert float(objective(inputs).total) == pytest.approx(plain(inputs, affinity, within=False))


def test_contradictions_are_needed_only_where_they_weigh(batch) -> None:
    inputs = batch(contradiction=None)
    assert build_objective("medtrim", contradiction=0.0)(inputs).total.isfinite()
    with pytest.raises(ConfigError, match="AnnealedKernel needs contradiction"):
        build_objective("medtrim")(inputs)


def alike_studies() -> SimilarityTensors:
    """Normal, normal, a disease with a side, the same, the same disease without: sizes 2, 2, 2, 2, 1."""
    names = [("", ""), ("", ""), ("edema", "left"), ("edema", "left"), ("edema", "")]
    disease = [[float(a[0] == b[0]) for b in names] for a in names]
    described = [[float(a == b and a[0] != "") for b in names] for a in names]
    return SimilarityTensors(
        **{
            name: torch.tensor(rows, dtype=torch.float64)
            for name, rows in (("disease", disease), ("adjective", described), ("direction", described))
        }
    )


def test_studies_with_equal_annotations_are_counted() -> None:
    assert class_sizes(alike_studies()).tolist() == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("correction", [0.3, 1.0])
def test_prior_correction_equals_a_loop(batch, correction) -> None:
    inputs = batch(5, similarity=alike_studies(), contradiction=None, progress=1.0)
    options = {"contradiction": 0.0, "within_modal": False}
    objective = build_objective("medtrim", prior_correction=correction, **options)
    affinity, sizes = objective.affinity(inputs.similarity, None, 1.0), [2, 2, 2, 2, 1]
    total = 0.0
    for a, image in enumerate(inputs.image):
        cosines = [float(image @ t / image.norm() / t.norm()) for t in inputs.text]
        guess = softmax([8.0 * c - correction * math.log(n) for c, n in zip(cosines, sizes, strict=True)])
        target = softmax([float(v) for v in affinity[a]])
        total -= sum(t * math.log(g) for t, g in zip(target, guess, strict=True)) / 5 / 2
    terms = objective(inputs).terms
    assert float(terms["image_text"]) == pytest.approx(total)
    plain_terms = build_objective("medtrim", prior_correction=0.0, **options)(inputs).terms
    assert float(terms["text_image"]) == float(plain_terms["text_image"])


def test_a_probable_normal_image_finds_normal_reports_with_the_correction(batch) -> None:
    """Five studies look the same, four of them are normal: without the correction each report gets a fifth."""
    normal = torch.tensor([1, 1, 1, 1, 0], dtype=torch.float64)
    disease = (normal[:, None] == normal[None]).double()
    none = torch.zeros(5, 5, dtype=torch.float64)
    similarity = SimilarityTensors(disease=disease, adjective=none, direction=none)
    for correction, normal_first in ((0.0, False), (1.0, True)):
        objective = build_objective(
            "medtrim", prior_correction=correction, contradiction=0.0, within_modal=False, disease=8.0
        )
        text = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        image = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        optimizer = torch.optim.Adam([text, image], lr=0.05)
        for _ in range(300):
            optimizer.zero_grad()
            inputs = batch(5, image=image.expand(5, 5), text=text, similarity=similarity, progress=1.0)
            objective(replace(inputs, contradiction=None)).terms["image_text"].backward()
            optimizer.step()
        cosines = torch.nn.functional.cosine_similarity(image.detach(), text.detach())
        assert bool(cosines[:4].mean() > cosines[4] + 0.01) == normal_first


@pytest.mark.parametrize(("image_weight", "text_weight"), [(2.0, 0.3), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("name", ["medtrim", "soft-targets"])
def test_weights_within_a_modality(batch, name, image_weight, text_weight) -> None:
    inputs = batch(progress=1.0)
    objective = build_objective(name, image_weight=image_weight, text_weight=text_weight)
    objective.needs = frozenset({"similarity"})
    inputs = replace(inputs, contradiction=None)
    affinity = objective.affinity(inputs.similarity, None, 1.0)  # progress 1: nothing anneals any more
    inner = affinity if name == "soft-targets" else 0.2 * (affinity + 0.75 * 14 * inputs.similarity.disease)
    expected = plain(inputs, affinity, image_weight=image_weight, text_weight=text_weight, inner=inner)
    output = objective(inputs)
    assert float(output.total) == pytest.approx(expected)
    assert ("image_image" in output.terms, "text_text" in output.terms) == (image_weight > 0, text_weight > 0)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_diseases_and_descriptors_anneal_apart(batch, progress, share) -> None:
    inputs = batch(progress=progress, contradiction=None)
    s = inputs.similarity
    affinity = 1.5**share * 9 * s.disease + 0.2**share * (11 * s.adjective + 13 * s.direction)
    objective = build_objective(
        "medtrim",
        disease=9.0,
        adjective=11.0,
        direction=13.0,
        anneal_start=0.2,
        disease_start=1.5,
        anneal_until=0.5,
        contradiction=0.0,
        within_sharpness=1.0,
        within_disease=1.0,
    )
    assert float(objective(inputs).total) == pytest.approx(plain(inputs, affinity))


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 1.0), (0.25, 0.6), (0.5, 0.2), (1.0, 0.2)])
def test_text_term_anneals(batch, progress, weight) -> None:
    inputs = batch(progress=progress)
    objective = build_objective(
        "medtrim", text_start=1.0, text_weight=0.2, anneal_until=0.5, within_sharpness=0.7, within_disease=1.0
    )
    affinity = objective.affinity(inputs.similarity, inputs.contradiction, progress)
    expected = plain(inputs, affinity, text_weight=weight, inner=0.7 * affinity)
    assert float(objective(inputs).total) == pytest.approx(expected)


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_the_switch_for_trained_encoders_is_what_it_stands_for(batch, progress) -> None:
    inputs = batch(progress=progress)
    long: dict[str, float] = {"anneal_start": 1.0, "disease_start": 1.0, "within_sharpness": 0.5}
    long |= dict.fromkeys(("image_weight", "text_weight", "text_start"), 0.15)
    found = build_objective("medtrim", trained_start=True)(inputs).terms
    for name, value in build_objective("medtrim", **long)(inputs).terms.items():
        torch.testing.assert_close(found[name], value)
    assert found["image_image"] < build_objective("medtrim")(inputs).terms["image_image"]


def test_sharpness_without_annealing() -> None:
    assert sharpness(0.0, start=0.3, until=0.0) == 1
    assert sharpness(0.0, start=1.0, until=0.7) == 1


def test_sharp_targets_on_the_own_pair_are_clip(batch) -> None:
    eye, none = torch.eye(7, dtype=torch.float64), torch.zeros(7, 7, dtype=torch.float64)
    inputs = batch(similarity=SimilarityTensors(disease=eye, adjective=none, direction=none))
    sharp = build_objective("soft-targets", temperature=1e-3, within_modal=False)(inputs)
    assert float(sharp.total) == pytest.approx(float(build_objective("clip")(inputs).total))


def test_identical_studies_share_the_target(batch) -> None:
    """Two studies alike in all: swapping their reports costs nothing."""
    one = torch.ones(2, 2, dtype=torch.float64)
    similarity = SimilarityTensors(disease=one, adjective=one, direction=one)
    inputs = batch(2, similarity=similarity, contradiction=0 * one)
    swapped = replace(inputs, text=inputs.text.flip(0))
    objective = build_objective("medtrim")
    assert float(objective(inputs).total) == pytest.approx(float(objective(swapped).total))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("soft-targets", {"temperature": 0.0}, "temperature must be a finite number above 0"),
        ("soft-targets", {"disease": 0, "adjective": 0, "direction": 0}, "all 0"),
        ("soft-targets", {"cross_modal": False, "within_modal": False}, "no term is left"),
        ("medtrim", {"cross_modal": False, "image_weight": 0.0, "text_weight": 0.0}, "no term is left"),
        ("medtrim", {"contradiction": -1.0}, "contradiction must be"),
        ("medtrim", {"within_sharpness": 0.0}, "within_sharpness must be a finite number above 0"),
        ("medtrim", {"within_disease": -1.0}, "within_disease must be"),
        ("medtrim", {"image_weight": -1.0}, "image_weight must be"),
        ("medtrim", {"prior_correction": 1.5}, "prior_correction must be a number from 0 to 1"),
        ("medtrim", {"disease_start": 0.0}, "disease_start must be a finite number above 0"),
        ("medtrim", {"anneal_start": 0.0}, "anneal_start must be above 0"),
        ("medtrim", {"anneal_until": 1.5}, "anneal_until must be a number from 0 to 1"),
        ("medtrim", {"disease": "28"}, "disease must be a float such as 14.0; received '28'"),
        ("medtrim", {"disease": True}, "disease must be a float"),
        ("medtrim", {"disease": float("nan")}, "disease must be a finite number"),
        ("medtrim", {"disease": -1.0}, "disease must be a finite number of at least 0"),
        ("medtrim", {"disease": 0, "adjective": 0, "direction": 0}, "all 0"),
        ("medtrim", {"within_modal": "no"}, "within_modal must be a bool such as True; received 'no'"),
    ],
)
def test_bad_options_are_refused(name, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objective(name, **options)
