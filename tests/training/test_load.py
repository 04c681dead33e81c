from __future__ import annotations

import pytest

from medtrim.errors import ConfigError
from medtrim.training import RECIPES, build_config, load_config, parse_overrides, read_recipe
from medtrim.training.config import TrainConfig
from medtrim.types.settings import allowed_keys, merge

NEEDED = {"data": {"studies": "studies.parquet"}, "out": "run"}


@pytest.mark.parametrize("name", RECIPES)
def test_packaged_recipes_are_valid(name):
    extra = {"data": {"triplets": "triplets.parquet"}}
    config = build_config({"recipe": name}, NEEDED, extra)
    assert 0 < config.optimizer.learning_rate <= 0.02


def test_the_paper_recipe_has_the_authors_numbers():
    config = build_config({"recipe": "paper"}, NEEDED, {"data": {"triplets": "t.parquet"}})
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (2e-5, 5e-4)
    assert (config.batch.size, config.epochs, config.steps) == (64, 20, 0)
    assert config.model.freeze_layers == 2
    assert config.objective.name == "medtrim-triplet"
    assert config.objective.options == {"margin": 0.3}


def test_scientific_notation_is_a_number(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {studies: s.parquet}\nout: run\noptimizer: {learning_rate: 2e-5}\n")
    assert load_config(path).optimizer.learning_rate == 2e-5
    assert load_config(path, ["optimizer.learning_rate=3e-4"]).optimizer.learning_rate == 3e-4


def test_paths_of_a_file_start_from_its_folder_those_of_overrides_do_not(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {studies: s.parquet, cache: /elsewhere}\nout: run\n")
    config = load_config(path, ["data.annotations=a.parquet"])
    assert config.data.studies == tmp_path / "s.parquet"
    assert config.out == tmp_path / "run"
    assert str(config.data.annotations) == "a.parquet"
    assert str(config.data.cache) == "/elsewhere"


def test_every_fault_is_listed_with_the_nearest_key():
    with pytest.raises(ConfigError) as caught:
        build_config(
            NEEDED,
            {
                "steps": -1,
                "stepz": 3,
                "batch": {"siz": 4},
                "data": {"triplet": "x"},
                "optimizer": {"learning_rate": "fast"},
                "objective": {"name": "medtrim", "options": {"diseas": 1.0}},
            },
        )
    message = str(caught.value)
    assert "unknown key 'stepz', is 'steps' meant?" in message
    assert "unknown key 'batch.siz', is 'size' meant?" in message
    assert "unknown key 'data.triplet', is 'triplets' meant?" in message
    assert "steps: Input should be greater than or equal to 0, not -1" in message
    assert "optimizer.learning_rate" in message
    assert "not 'fast'" in message
    assert "is 'disease' meant" in message


def test_missing_keys_and_unknown_names():
    with pytest.raises(ConfigError, match=r"data is missing; out is missing"):
        build_config({})
    with pytest.raises(ConfigError, match="no objective 'clop'"):
        build_config(NEEDED, {"objective": {"name": "clop"}})
    with pytest.raises(ConfigError, match="is 'tiny-cpu' meant"):
        build_config(NEEDED, {"recipe": "tiny-cpuu"})
    with pytest.raises(ConfigError, match=r"data\.triplets names no table"):
        build_config(NEEDED, {"batch": {"sampler": "triplets"}})


def test_normals_are_thinned_by_shuffle_and_known_from_annotations():
    thin = {"batch": {"normals": 0.3}, "data": {"annotations": None}}
    with pytest.raises(ConfigError, match="below 1 needs data.annotations"):
        build_config(NEEDED, thin)
    triplets = {"data": {"triplets": "t", "annotations": "a"}, "batch": {"sampler": "triplets"}}
    with pytest.raises(ConfigError, match="for batch.sampler shuffle"):
        build_config(NEEDED, thin, triplets)
    assert build_config(NEEDED, thin, {"data": {"annotations": "a"}}).batch.normals == 0.3


def test_options_of_the_recipes_objective_do_not_reach_another():
    config = build_config({"recipe": "paper"}, NEEDED, {"data": {"triplets": "t"}, "objective": {"name": "clip"}})
    assert config.objective.options == {}
    layers = (
        {"objective": {"name": "medtrim-triplet", "options": {"margin": 0.1}}},
        {"objective": {"name": "clip"}},
    )
    assert build_config(NEEDED, *layers).objective.options == {}
    same = ({"objective": {"name": "medtrim-triplet", "options": {"margin": 0.1}}}, {"objective": {"options": {}}})
    assert build_config(NEEDED, *same).objective.options == {"margin": 0.1}


def test_overrides_are_words_with_yaml_values():
    assert parse_overrides(["a.b=1", "a.c=[x, y]", "d="]) == {"a": {"b": 1, "c": ["x", "y"]}, "d": None}
    with pytest.raises(ConfigError, match="no key=value"):
        parse_overrides(["steps"])


def test_merge_leaves_its_arguments_alone():
    base = {"a": {"b": 1}}
    assert merge(base, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert base == {"a": {"b": 1}}


def test_allowed_keys_of_optional_sections():
    assert "rank" in allowed_keys(["lora"], TrainConfig)
    assert allowed_keys(["nowhere"], TrainConfig) == ()
    with pytest.raises(ConfigError, match="there is no recipe"):
        read_recipe("nothing")


def test_a_recipe_that_is_no_mapping(tmp_path):
    (tmp_path / "r.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(tmp_path / "r.yaml")
