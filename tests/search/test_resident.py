"""An archive in memory: conditions against the same conditions in SQL, neighbours against a plain sort."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medtrim.search import resident
from medtrim.search.filters import (
    Among,
    Between,
    Condition,
    Every,
    Flag,
    Marked,
    Not,
    facet,
    facets,
    has_finding,
)
from medtrim.search.resident import Comparison, ResidentArchive, decode_finding, encode_finding, largest
from medtrim.types import DEFAULT_CONTRADICTIONS, NO_FINDING, Finding

COUNT, WIDTH = 60, 8
rng = np.random.default_rng(7)
VECTORS = rng.normal(size=(COUNT, WIDTH)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
VECTORS[11] = VECTORS[10]
FINDINGS = (
    Finding("pleural effusion", "present", ("large",), ("left",)),
    Finding("pleural effusion", "present", ("small",), ("right",)),
    Finding("pleural effusion", "absent"),
    Finding("edema", "uncertain", ("mild",), change="larger"),
    Finding("lung lesion", "present", (), ("left", "right")),
    Finding(NO_FINDING, "present"),
)


def archive_of(rows: Sequence[int]) -> ResidentArchive:
    """`COUNT` studies with numbers `rows`; the study in row r has the findings whose bits r has."""
    said = [[f for i, f in enumerate(FINDINGS) if r >> i & 1] for r in rows]
    table = pa.table(
        {
            "row": pa.array(rows, type=pa.int64()),
            "study_id": [f"s{r}" for r in rows],
            "patient_id": [f"p{r % 7}" for r in rows],
            "read": [r % 5 > 0 for r in rows],
            "text_row": [r % 2 > 0 for r in rows],
            "view": ["PA" if r % 3 else "LATERAL" for r in rows],
            "date": ["" if r % 4 == 0 else f"2024-01-{r % 28 + 1:02d}" for r in rows],
            "said": pa.array([[encode_finding(f) for f in own] for own in said], type=pa.list_(pa.string())),
        }
    )
    return ResidentArchive(table, DEFAULT_CONTRADICTIONS)


ROWS = [int(r) for r in rng.permutation(COUNT)]
ARCHIVE = archive_of(ROWS)


def holds(condition: Condition, row: int) -> bool:
    """The condition on one study, one word at a time."""
    own = facets([f for i, f in enumerate(FINDINGS) if row >> i & 1], read=row % 5 > 0)
    text = {
        "patient_id": f"p{row % 7}",
        "view": "PA" if row % 3 else "LATERAL",
        "date": "" if row % 4 == 0 else f"2024-01-{row % 28 + 1:02d}",
    }
    match condition:
        case Marked(marks):
            return any(mark in own for mark in marks)
        case Every(parts):
            return all(holds(part, row) for part in parts)
        case Not(inner):
            return not holds(inner, row)
        case Flag(column):
            return row % 5 > 0 if column == "read" else row % 2 > 0
        case Among(column, values):
            return text[column] in values
        case Between(column, first, last):
            return text[column] != "" and first <= text[column] <= (last or "9")


MARKS = sorted({mark for f in FINDINGS for mark in facets([f])})
plain = st.one_of(
    st.lists(st.sampled_from(MARKS), min_size=1, max_size=3).map(lambda m: Marked(tuple(m))),
    st.builds(Flag, st.sampled_from(["read", "text_row"])),
    st.builds(Among, st.just("patient_id"), st.tuples(st.sampled_from(["p1", "p6", "nobody"]))),
    st.builds(Among, st.just("view"), st.sampled_from([("PA",), ("PA", "LATERAL")])),
    st.builds(Between, st.just("date"), st.sampled_from(["", "2024-01-09"]), st.sampled_from(["", "2024-01-20"])),
    st.builds(
        has_finding,
        st.sampled_from(["", "pleural effusion", "edema", "gout"]),
        st.sampled_from([(), ("left",), ("large", "left"), ("patchy",)]),
        contradictions=st.just(DEFAULT_CONTRADICTIONS),
    ),
)
conditions = st.recursive(
    plain,
    lambda c: st.one_of(c.map(Not), st.lists(c, min_size=1, max_size=3).map(lambda p: Every(tuple(p)))),
    max_leaves=5,
)


@given(conditions)
def test_conditions_are_those_of_a_plain_loop(condition: Condition) -> None:
    allowed = ARCHIVE.allowed([condition])
    assert allowed is not None
    assert [holds(condition, r) for r in range(COUNT)] == allowed.tolist()


def test_a_finding_is_encoded_without_its_mentions() -> None:
    for finding in FINDINGS:
        assert decode_finding(encode_finding(finding)) == finding
    assert encode_finding(Finding("edema", "present", size_mm=3.0)) == encode_finding(Finding("edema", "present"))


def test_a_candidate_is_what_its_row_says() -> None:
    found = ARCHIVE.candidate(37)
    assert (found.row, found.study_id, found.patient_id, found.read) == (37, "s37", "p2", True)
    assert found.findings == tuple(f for i, f in enumerate(FINDINGS) if 37 >> i & 1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("few", [0, 12, 1])
def test_the_nearest_rows_are_those_of_a_plain_sort(
    kind: torch.dtype, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "FEW", few or COUNT * COUNT)
    archive = archive_of(ROWS)
    archive.hold("image", torch.from_numpy(VECTORS).to(kind))
    asked: list[list[Condition]] = [[], [Flag("read")], [Flag("read"), Among("patient_id", ("p3",))]]
    for number in (10, 42):
        query = VECTORS[number]
        compared = Comparison(archive, "image", query)
        for limit in (1, 7, 60, 100):
            for given_conditions in asked:
                places, similarities = compared.nearest(given_conditions, limit)
                allowed = [r for r in range(COUNT) if all(holds(c, r) for c in given_conditions)]
                expected = sorted((float(VECTORS[r] @ query) for r in allowed), reverse=True)[:limit]
                np.testing.assert_allclose(similarities, expected, atol=1e-6 if kind == torch.float32 else 1e-3)
                assert len(set(places.tolist())) == len(expected)
                np.testing.assert_allclose(VECTORS[places] @ query, similarities, atol=1e-3)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 6000, 10_112, 10_113])
@pytest.mark.parametrize("ties", [False, True])
def test_the_largest_are_those_of_a_plain_sort(size: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(size)
    values = torch.randn(size, generator=generator)
    values = values.round() if ties else values
    if size:
        values[-1] = 9  # beyond the last whole block
    for count in {0, 1, min(11, size), min(40, size)} & {*range(size + 1)}:
        found = largest(values, count)
        assert len(set(found.tolist())) == count
        assert sorted(values[found].tolist()) == values.sort().values[size - count :].tolist()


def test_no_row_may_fulfil_the_conditions() -> None:
    archive = archive_of(ROWS)
    archive.hold("text", torch.from_numpy(VECTORS))
    places, similarities = Comparison(archive, "text", VECTORS[0]).nearest([Among("view", ("AP",))], 5)
    assert len(places) == len(similarities) == 0


def test_conditions_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "KEPT_CONDITIONS", 4)
    archive = archive_of(ROWS)
    for i in range(10):
        expected = [r % 7 == i for r in range(COUNT)]
        for _ in range(2):
            allowed = archive.allowed([Among("patient_id", (f"p{i}",))])
            assert allowed is not None
            assert allowed.tolist() == expected
    assert len(archive._masks) == 4


def test_sides_and_studies_without_findings_are_marked() -> None:
    allowed = ARCHIVE.allowed(
        [Marked((facet("lung lesion", "side", "0"),)), Marked((facet("lung lesion", "side", "1"),))]
    )
    assert allowed is not None
    assert np.flatnonzero(allowed).tolist() == [r for r in range(COUNT) if r >> 4 & 1]
