"""Requests made up from /openapi.json: whatever fits it, or does not, is answered as it says, never by a 500."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app
from medtrim.search.store import StudyIndex

pytestmark = [pytest.mark.slow, pytest.mark.hypothesis]


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
def described(calibrated: Path, serving_thread: Callable[..., AbstractContextManager[int]]) -> Iterator[Any]:
    with serving_thread(create_app(Searcher.open(StudyIndex(calibrated)))) as port:
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

    @settings(suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # What fits may still be refused: a file that is no picture, a study that is not in the index.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()


def test_what_is_read_in_a_picture_is_answered_as_described(described: Any, corpus: tuple[Path, Any, Any]) -> None:
    operation = described["/api/search"]["POST"]
    picture = base64.b64encode((corpus[0] / "s0.png").read_bytes()).decode()
    read: list[bool] = []

    @settings(suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=FITTING))
    def ask(case: Any) -> None:
        case.body = {**case.body, "image": picture, "study_id": ""}
        answer = case.call_and_validate(excluded_checks=[positive_data_acceptance])
        if answer.status_code == 200:
            found = {reading["disease"]: reading["probability"] for reading in answer.json()["readout"]}
            assert 0 < found["edema"] < 1
            assert found["fracture"] is None
            read.append(True)

    ask()
    assert read
