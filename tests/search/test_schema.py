"""Requests made up from /openapi.json: whatever fits it, or does not, is answered as it says, never by a 500."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app

pytestmark = pytest.mark.slow


OPERATIONS = (
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /api/about",
    "POST /api/search",
    "POST /api/search/image",
    "POST /api/preview",
    "GET /api/studies/{row}/thumbnail",
    "GET /api/studies/{row}/image",
)


@pytest.fixture(scope="module")
def described(searcher: Searcher, serving_thread: Callable[..., AbstractContextManager[int]]) -> Iterator[Any]:
    with serving_thread(create_app(searcher)) as port:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")


def test_every_operation_is_tried(described: Any) -> None:
    found = {result.ok().label for result in described.get_all_operations()}
    assert found == set(OPERATIONS)


FITTING, UNFITTING = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [(label, FITTING) for label in OPERATIONS] + [
    (label, UNFITTING) for label in OPERATIONS if label.startswith("POST /api/search") or "{row}" in label
]


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_operations_answer_as_described(described: Any, label: str, mode: GenerationMode) -> None:
    method, path = label.split()
    operation = described[path][method]

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # What fits may still be refused: a file that is no picture, a study that is not in the index.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()
