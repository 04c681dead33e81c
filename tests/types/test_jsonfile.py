from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from medtrim.types.jsonfile import finite, read_json, write_json


def test_numbers_that_are_not_finite_become_null_however_deep(tmp_path: Path) -> None:
    values = {"a": math.nan, "b": [1.5, (math.inf, "x")], "c": {"d": -math.inf, "e": None, "f": True}}
    assert finite(values) == {"a": None, "b": [1.5, [None, "x"]], "c": {"d": None, "e": None, "f": True}}
    write_json(tmp_path / "a.json", values)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == finite(values)


def test_what_json_does_not_have_is_refused_and_leaves_the_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": {1, 2}})
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("text", ['{"a": ', "[1]", ""])
def test_what_is_no_object_reads_as_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") == {}
    assert read_json(tmp_path / "none.json") == {}
