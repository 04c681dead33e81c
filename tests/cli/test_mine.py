"""`medtrim mine` and `medtrim score`, as a user runs them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.entities import load_ontology
from medtrim.errors import ConfigError, MiningError, TableError
from medtrim.mining.mine_corpus import mine_corpus
from medtrim.mining.reading import read_encoded
from medtrim.types import DISEASES, Annotation, Finding, OntologyRef, Provenance, Study, schemas
from medtrim.types.tables import annotations_to_table, provenance_of, read_table, studies_to_table, write_table

SIDES = ("left", "right")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    def study(i: int) -> Annotation:
        names = [DISEASES[i % 5], DISEASES[(i * 3) % 7]][: i % 3]
        return Annotation(
            f"s{i}", tuple(Finding(d, "present", ("mild",) * (i % 2), (SIDES[i % 2],)) for d in names)
        )

    path = tmp_path / "annotations.parquet"
    made = Provenance("annotations", ontology=OntologyRef("chest", "1", "abc"))
    write_table(annotations_to_table([study(i) for i in range(90)]), path, made)
    return path


def test_mining_writes_a_table_with_its_provenance(annotations, tmp_path):
    output = tmp_path / "triplets.parquet"
    result = run("mine", annotations, "-o", output, "--iterations", 3, "--seed", 7)
    assert result.exit_code == 0, result.output
    assert "90 studies" in result.output
    table = read_table(output, schemas.TRIPLETS, table="triplets")
    made = provenance_of(table)
    assert made is not None
    assert (made.kind, made.seed, made.ontology) == ("triplets", 7, OntologyRef("chest", "1", "abc"))
    assert made.config["iterations"] == 3
    assert made.extra["counts"]["triplets"] == len(table)


def test_flags_override_the_recipe_and_the_seed_decides(annotations, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("iterations: 9\nsemi_hard: 0.1\nscore: {mode: symmetric, weights: {direction: 0.3}}\n")
    tables = []
    for seed in (0, 0, 1):
        output = tmp_path / "triplets.parquet"
        result = run("mine", annotations, "-o", output, "--config", recipe, "--iterations", 2, "--seed", seed)
        assert result.exit_code == 0, result.output
        assert "weights sum to 1.25" in result.output
        tables.append(read_table(output, schemas.TRIPLETS, table="triplets"))
    made = provenance_of(tables[0])
    assert made is not None
    assert made.config["iterations"] == 2
    assert made.config["semi_hard"] == 0.1
    assert made.config["score"]["mode"] == "symmetric"
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_annotations_of_another_version_of_the_ontology_are_said(annotations, tmp_path):
    installed = load_ontology().ref
    for made, said in ((installed, False), (dataclasses.replace(installed, version="0.1", hash="0" * 64), True)):
        table = read_table(annotations, schemas.ANNOTATIONS, table="annotations")
        write_table(table, annotations, Provenance("annotations", ontology=made))
        result = run("mine", annotations, "-o", tmp_path / "out.parquet", "--iterations", 1)
        assert result.exit_code == 0, result.output
        assert (f"made with {installed.name} 0.1 (000000000000)" in result.output) == said


def test_bad_input_is_named(annotations, tmp_path):
    output = tmp_path / "out.parquet"
    assert isinstance(run("mine", tmp_path / "no.parquet", "-o", output).exception, TableError)
    assert isinstance(run("mine", annotations, "-o", output, "--semi-hard", 0.9).exception, ConfigError)
    normal = tmp_path / "normal.parquet"
    write_table(annotations_to_table([Annotation(str(i)) for i in range(5)]), normal, Provenance("annotations"))
    result = run("mine", normal, "-o", output)
    assert isinstance(result.exception, MiningError)
    assert "all 5 studies are normal" in str(result.exception)
    assert not output.exists()


def test_the_corpus_miner_with_patients_and_contradictions(annotations, tmp_path):
    studies = tmp_path / "studies.parquet"
    write_table(studies_to_table([Study(f"s{i}", f"P{i // 3}") for i in range(90)]), studies, Provenance("studies"))
    output = tmp_path / "triplets.parquet"
    options = ("--miner", "corpus", "--attribute-hard", 0.5, "--axis", "side", "--positives", 2, "--other-patients")
    result = run("mine", annotations, "-o", output, *options, "--studies", studies)
    assert result.exit_code == 0, result.output
    table = read_table(output, schemas.TRIPLETS, table="triplets")
    rows = table.to_pylist()
    assert {row["negative_kind"] for row in rows} > {"attribute-hard"}
    assert all(int(row["anchor"][1:]) // 3 != int(row["positive"][1:]) // 3 for row in rows)
    assert not output.with_name("triplets.parquet.shards").exists()
    refused = run("mine", annotations, "-o", output, *options)
    assert "needs --studies" in str(refused.exception)


@pytest.mark.ray
def test_ray_writes_the_same_table(annotations, tmp_path):
    tables = []
    for options in ((), ("--engine", "ray", "--workers", 2)):
        result = run("mine", annotations, "-o", tmp_path / "triplets.parquet", "--miner", "corpus", *options)
        assert result.exit_code == 0, result.output
        tables.append((tmp_path / "triplets.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_an_unfinished_run_goes_on_or_starts_anew(annotations, tmp_path):
    output = tmp_path / "triplets.parquet"
    shards = tmp_path / "triplets.parquet.shards"
    result = run("mine", annotations, "-o", output, "--miner", "corpus")
    assert result.exit_code == 0, result.output
    expected = output.read_bytes()
    corpus = read_encoded(annotations)
    mine_corpus(corpus.encoded, seed=0, contradictions=corpus.contradictions, shards=shards)
    refused = run("mine", annotations, "-o", output, "--miner", "corpus", "--seed", 1)
    assert isinstance(refused.exception, MiningError)
    resumed = run("mine", annotations, "-o", output, "--miner", "corpus")
    assert resumed.exit_code == 0, resumed.output
    assert output.read_bytes() == expected
    mine_corpus(corpus.encoded, seed=0, contradictions=corpus.contradictions, shards=shards)
    anew = run("mine", annotations, "-o", output, "--miner", "corpus", "--seed", 1, "--restart")
    assert anew.exit_code == 0, anew.output
    assert not shards.exists()


def test_options_of_another_miner_are_refused(annotations, tmp_path):
    output = tmp_path / "triplets.parquet"
    assert "unknown key 'strategy'" in str(
        run("mine", annotations, "-o", output, "--strategy", "hardest").exception
    )
    assert "runs in one process" in str(run("mine", annotations, "-o", output, "--workers", 2).exception)


def test_a_score_is_explained_term_by_term(tmp_path):
    table = tmp_path / "annotations.parquet"
    left = Finding("pleural effusion", "present", ("small",), ("left",))
    both = Finding("pleural effusion", "present", ("small",), ("left", "right"))
    corpus = [Annotation("CXR1", (left,)), Annotation("CXR2", (both, Finding("edema", "uncertain")))]
    write_table(annotations_to_table(corpus), table, Provenance("annotations"))
    result = run("score", table, "CXR1", "CXR2")
    assert result.exit_code == 0, result.output
    assert "S = 0.550000" in result.output  # 0.85 · 1/2 + 0.10 · 1 + 0.05 · 1/2
    assert "edema, pleural effusion" in result.output
    symmetric = run("score", table, "CXR1", "CXR2", "--mode", "symmetric")
    assert "S = 0.487500" in symmetric.output  # both sums are halved
    unknown = run("score", table, "CXR1", "CXR9")
    assert isinstance(unknown.exception, TableError)
    assert "'CXR9'" in str(unknown.exception)


@pytest.mark.parametrize("miner", [("--iterations", 3), ("--miner", "corpus", "--other-patients")])
def test_a_split_keeps_the_others_out_of_the_triplets(annotations, tmp_path, miner):
    studies = tmp_path / "studies.parquet"
    records = [Study(f"s{i}", f"p{i}", findings="x", split="test" if i % 4 == 0 else "train") for i in range(90)]
    write_table(studies_to_table(records), studies, Provenance("studies"))
    output = tmp_path / "triplets.parquet"
    result = run("mine", annotations, "-o", output, *miner, "--split", "train", "--studies", studies)
    assert result.exit_code == 0, result.output
    assert "67 studies of split train" in result.output
    table = read_table(output, schemas.TRIPLETS, table="triplets")
    used = {s for role in ("anchor", "positive", "negative") for s in table[role].to_pylist()}
    assert used <= {r.study_id for r in records if r.split == "train"}
    assert provenance_of(table).extra["split"] == "train"


def test_a_split_needs_the_studies(annotations, tmp_path):
    result = run("mine", annotations, "-o", tmp_path / "t.parquet", "--split", "train")
    assert isinstance(result.exception, ConfigError)
    assert "--split needs --studies" in str(result.exception)
