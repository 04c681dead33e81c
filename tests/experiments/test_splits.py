from __future__ import annotations

import pytest

from medtrim.errors import ConfigError
from medtrim.experiments.splits import check_splits
from medtrim.types import Study

TRAIN, VAL, TEST = (Study(name, name, split=name) for name in ("train", "val", "test"))


def test_only_training_and_test_are_needed() -> None:
    check_splits([TRAIN, TEST])


@pytest.mark.parametrize(("studies", "empty"), [([TRAIN, VAL], "test"), ([VAL, TEST], "train"), ([], "train")])
def test_an_empty_split_is_named_with_what_to_do(studies: list[Study], empty: str) -> None:
    with pytest.raises(ConfigError, match=rf"no study in the {empty} split.*--split"):
        check_splits(studies)
    with pytest.raises(ConfigError, match=f"no study with a readable image in the {empty} split"):
        check_splits(studies, having="readable image")
