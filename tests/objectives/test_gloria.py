from __future__ import annotations

import math

import pytest
import torch

from medtrim.errors import ConfigError
from medtrim.objectives import build_objective, gloria


def dot(x, y):
    return sum(float(a) * float(b) for a, b in zip(x, y, strict=True))


def match(regions, words, attention_temperature, word_temperature):
    """Word by word and region by region, as the public code goes: over words, then over regions."""
    over_words = [
        [math.exp(dot(r, w)) / sum(math.exp(dot(r, other)) for other in words) for w in words] for r in regions
    ]
    total = 0.0
    for place, word in enumerate(words):
        weights = [math.exp(row[place] / attention_temperature) for row in over_words]
        context = sum(w / sum(weights) * r for w, r in zip(weights, regions, strict=True))
        cosine = dot(context, word) / math.sqrt(dot(context, context) * dot(word, word))
        total += math.exp(cosine / word_temperature)
    return math.log(total)


def contrast(logits):
    return sum(math.log(sum(map(math.exp, row))) - row[b] for b, row in enumerate(logits)) / len(logits)


def both_ways(logits):
    return contrast(logits) + contrast(list(zip(*logits, strict=True)))


@pytest.mark.parametrize("at_once", [1, 60, 2**19])
def test_equals_a_loop_over_words_and_regions(batch, at_once, monkeypatch) -> None:
    monkeypatch.setattr(gloria, "AT_ONCE", at_once)
    inputs = batch(4)
    local = [
        [match(r, w[m], 0.3, 0.2) / 0.1 for w, m in zip(inputs.text_local, inputs.text_mask, strict=True)]
        for r in inputs.image_local
    ]
    whole = [[float(x @ y / x.norm() / y.norm()) / 0.1 for y in inputs.text] for x in inputs.image]
    objective = build_objective("gloria", attention_temperature=0.3, global_weight=0.5, local_weight=2.0)
    assert float(objective(inputs).total) == pytest.approx(0.5 * both_ways(whole) + 2 * both_ways(local))


def test_local_loss_equals_the_public_formula_written_with_tensors(batch) -> None:
    """local_loss(temp1=4, temp2=5, temp3=10) of the public code, restated on [batch regions words] arrays."""
    inputs = batch(5)
    columns = []
    for words, mask in zip(inputs.text_local, inputs.text_mask, strict=True):
        t = words[mask]
        raw = inputs.image_local @ t.T
        attention = (raw.softmax(dim=2).transpose(1, 2) * 4.0).softmax(dim=2)
        context = attention @ inputs.image_local
        cosine = torch.nn.functional.cosine_similarity(context, t.expand_as(context), dim=2)
        columns.append((cosine * 5.0).exp().sum(dim=1).log())
    logits = torch.stack(columns, dim=1) * 10.0
    terms = build_objective("gloria")(inputs).terms
    labels = torch.arange(5)
    for name, expected in (("local_image_text", logits), ("local_text_image", logits.T)):
        assert float(terms[name]) == pytest.approx(
            float(torch.nn.functional.cross_entropy(expected, labels)), abs=1e-5
        )


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
