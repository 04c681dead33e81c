from __future__ import annotations

import math

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective


def dot(x, y):
    return sum(float(a) * float(b) for a, b in zip(x, y, strict=True))


def match(regions, words, attention_temperature, word_temperature):
    """Word by word and region by region, from the paper's equations 4 to 7."""
    total = 0.0
    for word in words:
        weights = [math.exp(dot(r, word) / attention_temperature) for r in regions]
        context = sum(w / sum(weights) * r for w, r in zip(weights, regions, strict=True))
        total += math.exp(dot(context, word) / math.sqrt(dot(context, context)) / word_temperature)
    return word_temperature * math.log(total)


def contrast(logits):
    return sum(math.log(sum(map(math.exp, row))) - row[b] for b, row in enumerate(logits)) / len(logits)


def both_ways(logits):
    return contrast(logits) + contrast(list(zip(*logits, strict=True)))


def test_equals_a_loop_over_words_and_regions(batch) -> None:
    inputs = batch(4)
    regions = inputs.image_local / inputs.image_local.norm(dim=-1, keepdim=True)
    words = inputs.text_local / inputs.text_local.norm(dim=-1, keepdim=True)
    local = [
        [match(r, w[m], 0.3, 0.2) / 0.1 for w, m in zip(words, inputs.text_mask, strict=True)] for r in regions
    ]
    whole = [[float(x @ y / x.norm() / y.norm()) / 0.1 for y in inputs.text] for x in inputs.image]
    objective = build_objective("gloria", attention_temperature=0.3, global_weight=0.5, local_weight=2.0)
    assert float(objective(inputs).total) == pytest.approx(0.5 * both_ways(whole) + 2 * both_ways(local))


def test_padding_does_not_count(batch) -> None:
    inputs = batch()
    noisy = inputs.text_local.clone()
    noisy[~inputs.text_mask] = 100.0
    objective = build_objective("gloria")
    assert float(objective(batch(text_local=noisy)).total) == float(objective(inputs).total)


def test_report_without_words_matches_no_image(batch) -> None:
    mask = batch().text_mask.clone()
    mask[2] = False
    words = batch().text_local.clone().requires_grad_()
    output = build_objective("gloria")(batch(text_local=words, text_mask=mask))
    output.total.backward()
    assert torch.isfinite(output.total)
    assert torch.equal(words.grad[2], torch.zeros_like(words.grad[2]))


def test_both_weights_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match="no term is left"):
        build_objective("gloria", global_weight=0, local_weight=0)
