"""Recipes: defaults, numbers, and keys that are refused by name."""

from __future__ import annotations

import pytest

from medtrim.errors import ConfigError
from medtrim.mining.corpus_config import CorpusConfig
from medtrim.mining.pool import PoolConfig
from medtrim.mining.recipe import Recipe, load_recipe, read_recipe
from medtrim.mining.score_config import ScoreWeights


def test_nothing_given_is_the_papers_recipe():
    assert load_recipe(None) == Recipe("pool", PoolConfig())


def test_values_reach_their_places():
    recipe = read_recipe(
        {
            "iterations": 5,
            "p_semi_hard": 1,
            "score": {"mode": "symmetric", "weights": {"disease": 1}, "diseases": ["edema"]},
        }
    )
    assert recipe.options == PoolConfig(iterations=5)
    assert recipe.score.weights == ScoreWeights(disease=1.0)
    assert recipe.score.diseases == ("edema",)
    assert recipe.to_dict()["score"]["mode"] == "symmetric"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"miner": "pol"}, "unknown miner 'pol', is 'pool' meant"),
        ({"iteration": 5}, "unknown key 'iteration', is 'iterations' meant"),
        ({"iterations": "5"}, "iterations: Input should be a valid integer, not '5'"),
        ({"ceiling": True}, "ceiling: Input should be a valid number, not True"),
        ({"score": {"weight": {}}}, "score: unknown key 'weight', is 'weights' meant"),
        ({"score": {"weights": {"adjectives": 1}}}, "unknown key 'adjectives', is 'adjective' meant"),
        ({"score": 3}, "score: expected keys and values"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(data, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(data)


def test_the_corpus_miner_has_options_of_its_own():
    recipe = read_recipe({"miner": "corpus", "strategy": "stratified", "axes": ["side"], "balanced": True})
    assert recipe.options == CorpusConfig(strategy="stratified", axes=("side",), balanced=True)
    with pytest.raises(ConfigError, match="unknown key 'iterations'"):
        read_recipe({"miner": "corpus", "iterations": 3})


def test_a_file_is_overridden_by_what_is_given(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("iterations: 5\nceiling: 5e-1\nscore: {mode: symmetric}\n")
    recipe = load_recipe(path, options={"iterations": 7, "pool_size": None}, score={"mode": None})
    assert recipe.options == PoolConfig(iterations=7, ceiling=0.5)
    assert recipe.score.mode == "symmetric"
    assert load_recipe(path, score={"mode": "faithful"}).score.mode == "faithful"
    path.write_text("- iterations\n")
    with pytest.raises(ConfigError, match="expected keys and values, found list"):
        load_recipe(path)
