from __future__ import annotations

import pytest

from medtrim.errors import ConfigError
from medtrim.types.yamlfile import dump_yaml, load_yaml, read_yaml


def test_numbers_are_numbers_and_words_are_words():
    data = load_yaml("lr: 2e-5\nmargin: 0.3\ncue: no\nswitch: off\nflag: true\n", source="x")
    assert data == {"lr": 2e-5, "margin": 0.3, "cue": "no", "switch": "off", "flag": True}


def test_order_and_numbers_survive_a_round_trip():
    data = {"z": 2e-5, "a": [1, "no"], "m": {"k": None}}
    back = load_yaml(dump_yaml(data), source="x")
    assert back == data
    assert list(back) == list(data)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match="c.yaml"):
        read_yaml(path)
    path.write_text("a: [1")
    with pytest.raises(ConfigError, match="c.yaml"):
        read_yaml(path)
