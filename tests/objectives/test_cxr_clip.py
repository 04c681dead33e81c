from __future__ import annotations

import math

import pytest

from medtrim.objectives import build_objective


def contrast(x, y, scale=8.0):
    total = 0.0
    for rows, columns in ((x, y), (y, x)):
        for b, row in enumerate(rows):
            logits = [scale * float(row @ c / row.norm() / c.norm()) for c in columns]
            total += (math.log(sum(map(math.exp, logits))) - logits[b]) / len(rows) / 2
    return total


def test_equals_a_loop_over_pairings(batch) -> None:
    inputs = batch()
    images, texts = (inputs.image, inputs.image_view), (inputs.text, inputs.text_view)
    expected = sum(contrast(i, t) for i in images for t in texts) / 4
    expected += 0.7 * contrast(*images) + 0.2 * contrast(*texts)
    objective = build_objective("cxr-clip", image_weight=0.7, text_weight=0.2)
    assert float(objective(inputs).total) == pytest.approx(expected)


def test_identical_views_are_clip_and_two_self_contrasts(batch) -> None:
    inputs = batch(image_view=batch().image, text_view=batch().text)
    terms = build_objective("cxr-clip")(inputs).terms
    assert float(terms["multi_view"]) == pytest.approx(float(build_objective("clip")(inputs).total))
