from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medtrim.search.resident import KEPT_CONDITIONS, ResidentVectors

rng = np.random.default_rng(7)
VECTORS = rng.normal(size=(60, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
VECTORS[11] = VECTORS[10]
ROWS = rng.permutation(np.arange(100, 160))


def test_the_nearest_rows_are_those_of_a_plain_sort() -> None:
    asked: list[Sequence[str]] = []

    def find(conditions: Sequence[str]) -> list[int]:
        asked.append(conditions)
        return [int(r) for r in ROWS if r % 3 == 0]

    held = ResidentVectors(ROWS, VECTORS, find)
    for limit in (1, 7, 60, 100):
        for conditions in ([], ["a"]):
            query = VECTORS[10]
            rows, similarities = held.nearest(query, conditions, limit)
            allowed = [
                (float(v @ query), -int(r))
                for r, v in zip(ROWS, VECTORS, strict=True)
                if not conditions or r % 3 == 0
            ]
            expected = sorted(allowed, reverse=True)[:limit]
            np.testing.assert_allclose(similarities, [s for s, _ in expected], atol=1e-6)
            if limit != 1:  # of equals at the cut either may be among the rows
                assert [round(s, 5) for s, _ in expected] == [round(float(s), 5) for s in similarities]
                assert set(rows.tolist()) == {-r for _, r in expected}
    assert asked == [("a",)]  # conditions are asked for once


def test_no_row_may_fulfil_the_conditions() -> None:
    rows, similarities = ResidentVectors(ROWS, VECTORS, lambda _: []).nearest(VECTORS[0], ["x"], 5)
    assert len(rows) == len(similarities) == 0


def test_conditions_that_are_kept_are_bounded() -> None:
    held = ResidentVectors(ROWS, VECTORS, lambda _: [100])
    for i in range(KEPT_CONDITIONS + 10):
        assert held.nearest(VECTORS[0], [str(i)], 5)[0].tolist() == [100]
    assert len(held._kept) <= KEPT_CONDITIONS
