from __future__ import annotations

import io
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from medtrim.cli import app
from medtrim.cli import evaluate as command
from medtrim.errors import ConfigError, EmbeddingsError, TableError
from medtrim.evaluation import DIRECTION_NAMES, EvaluationResult, Figure
from medtrim.models import ModelConfig, build_dual_encoder, save_checkpoint
from medtrim.types import Annotation, Finding, Provenance, Study
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table

SIDE = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_size": 16}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    studies, annotations = [], []
    for i in range(60):
        sick, side = i % 2, ("left", "right")[i % 4 // 2]
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{i}.png")
        finding = Finding("pleural effusion", "present", (), (side,))
        annotations.append(Annotation(f"s{i}", (finding,) * sick))
        text = f"{side} pleural effusion" if sick else "clear"
        studies.append(Study(f"s{i}", f"p{i}", (f"{i}.png",), findings=text, split="train" if i < 30 else "test"))
    truth = annotations_to_table(annotations)["findings"]
    write_table(
        studies_to_table(studies).append_column("truth", truth), folder / "s.parquet", Provenance("studies")
    )
    write_table(annotations_to_table(annotations), folder / "a.parquet", Provenance("annotations"))
    config = ModelConfig(
        vision_config={"model_type": "vit", "patch_size": 16, **SIDE},
        text_config={"model_type": "bert", **SIDE},
        projection_dim=8,
        image_size=32,
        max_tokens=16,
        vocab_size=100,
    )
    for seed in (0, 1):
        bundle = build_dual_encoder(config, texts=[s.report for s in studies], seed=seed)
        save_checkpoint(bundle, folder / f"model{seed}", Provenance("checkpoint"))
    return folder


def evaluate(folder: Path, model: int, *more: object) -> Result:
    where = ("--studies", folder / "s.parquet", "-o", folder / f"out{model}", "--resamples", 30)
    return run("evaluate", folder / f"model{model}", *where, *more)


def test_evaluate_twice_then_compare(folder):
    first = evaluate(folder, 0, "--annotations", folder / "a.parquet")
    assert first.exit_code == 0, first.output
    assert "30 studies of 30 patients, 15 of them normal" in first.output
    assert "attribute AUC" in first.output
    second = evaluate(folder, 1, "--truth-column", "truth", "--method", "other")
    assert second.exit_code == 0, second.output
    metrics = pq.read_table(folder / "out1" / "metrics.parquet").to_pylist()
    assert {row["method"] for row in metrics} == {"other"}
    assert {"retrieval", "zero-shot", "probe 100%"} <= {row["task"] for row in metrics}
    compared = run("compare", folder / "out0", folder / "out1", "-o", folder / "c.parquet")
    assert compared.exit_code == 0, compared.output
    assert "model0" in compared.output
    assert len(pq.read_table(folder / "c.parquet")) == len(metrics)


def test_compare_says_what_it_leaves_out_and_states_no_interval_of_few_patients(folder, tmp_path):
    few = pq.read_table(folder / "s.parquet").slice(18, 24)
    pq.write_table(few, tmp_path / "s.parquet")
    for i in few["study_id"].to_pylist():
        (tmp_path / f"{i[1:]}.png").symlink_to(folder / f"{i[1:]}.png")
    for name, prompts in (("one", "{name}"), ("two", "{name}!")):
        text = resources.files("medtrim.evaluation").joinpath("prompts.yaml").read_text(encoding="utf-8")
        (tmp_path / "p.yaml").write_text(
            text.replace('"{name}"', f'"{prompts}"').replace("- {name}", f"- {prompts}")
        )
        where = ("--studies", tmp_path / "s.parquet", "-o", tmp_path / name, "--truth-column", "truth")
        more = ("--prompts", tmp_path / "p.yaml", "--resamples", 30, "--min-count", 2, "--method", f"[{name}]")
        result = run("evaluate", folder / "model0", *where, *more)
        assert result.exit_code == 0, result.output
        assert "nan" not in result.output
    assert "R@10" not in result.stderr  # 12 studies
    compared = run("compare", tmp_path / "one", tmp_path / "two", "-o", tmp_path / "c.parquet")
    assert compared.exit_code == 0, compared.output
    assert "nan" not in compared.output
    assert "too few patients" in compared.output
    assert "[one]" in compared.output
    assert "note: zero-shot is not compared: different prompts" in compared.output
    rows = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert {r["why_no_p"] for r in rows} == {"too few patients"}
    assert "zero-shot" not in {r["task"] for r in rows}
    overwriting = run("compare", tmp_path / "one", tmp_path / "two", "-o", tmp_path / "two" / "metrics.parquet")
    assert isinstance(overwriting.exception, ConfigError)


def test_a_gallery_no_larger_than_k_is_named_and_what_is_undefined_shown_as_a_dash(folder, tmp_path):
    few = pq.read_table(folder / "s.parquet").slice(30, 4)
    rows = [{**r, "images": [str(folder / r["images"][0])], "truth": None} for r in few.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=few.schema), tmp_path / "s.parquet")
    where = ("--studies", tmp_path / "s.parquet", "-o", tmp_path / "out", "--truth-column", "truth")
    result = run("evaluate", folder / "model0", *where, "--resamples", 5)
    assert result.exit_code == 0, result.output
    assert "nan" not in result.output
    assert "–" in result.output
    assert "reach past the gallery of 4 studies" in result.output


def test_studies_may_be_a_csv_with_splits(folder, tmp_path):
    studies = pq.read_table(folder / "s.parquet").to_pylist()
    lines = [f"{s['study_id']},{s['patient_id']},{folder / s['images'][0]},{s['findings']}" for s in studies]
    split = tmp_path / "split.csv"
    rows = [f"{line},{s['split']}" for line, s in zip(lines, studies, strict=True)]
    split.write_text("\n".join(["study_id,patient_id,image,findings,split", *rows, "bad,p,,,test"]) + "\n")
    truth = ("--annotations", folder / "a.parquet", "--resamples", 5)
    result = run("evaluate", folder / "model0", "--studies", split, "-o", tmp_path / "out", *truth)
    assert result.exit_code == 0, result.output
    assert "30 studies of 30 patients" in result.output
    assert [r["study_id"] for r in pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()] == ["bad"]
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(["study_id,patient_id,image,findings", *lines]) + "\n")
    result = run("evaluate", folder / "model0", "--studies", bare, "-o", tmp_path / "out", *truth)
    assert isinstance(result.exception, TableError)
    assert "medtrim data import" in str(result.exception)
    result = run("evaluate", folder / "model0", "--studies", split, "-o", tmp_path / "out", "--truth-column", "x")
    assert isinstance(result.exception, TableError)
    assert "medtrim data import" in str(result.exception)


def test_the_same_seed_gives_the_same_tables(folder):
    evaluate(folder, 0, "--truth-column", "truth")
    before = (folder / "out0" / "metrics.parquet").read_bytes()
    evaluate(folder, 0, "--truth-column", "truth")
    assert (folder / "out0" / "metrics.parquet").read_bytes() == before


def test_a_study_whose_image_is_gone_is_rejected_and_strict_says_so(folder, tmp_path):
    table = pq.read_table(folder / "s.parquet")
    studies = tmp_path / "s.parquet"
    pq.write_table(table, studies)
    for i in range(59):
        (tmp_path / f"{i}.png").symlink_to(folder / f"{i}.png")
    where = ("--studies", studies, "-o", tmp_path / "out", "--resamples", 5, "--truth-column", "truth")
    result = run("evaluate", folder / "model0", *where, "--strict")
    assert result.exit_code == 1
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert [(r["study_id"], r["reason"]) for r in rejects] == [("s59", "image file is missing")]


def test_what_is_true_must_be_said_once(folder):
    assert isinstance(evaluate(folder, 0).exception, ConfigError)
    both = evaluate(folder, 0, "--truth-column", "truth", "--annotations", folder / "a.parquet")
    assert isinstance(both.exception, ConfigError)
    assert isinstance(evaluate(folder, 0, "--truth-column", "trth").exception, TableError)
    assert isinstance(run("compare", folder, folder).exception, TableError)


def own_embeddings(path: Path, *, ids: list[str], order: np.ndarray) -> Path:
    """Vectors of `ids` that know the truth of the fixture's studies, rows in `order`."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(2, len(ids), 6)) * 0.2
    for row, study_id in enumerate(ids):
        number = int(study_id[1:])
        vectors[:, row, 0 if number % 2 == 0 else 1 + number % 4 // 2] += 1
    rows = [
        {"study_id": ids[i], "modality": side, "vector": vectors[k, i].tolist()}
        for k, side in enumerate(("image", "text"))
        for i in (order if k == 0 else order[::-1])
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_own_embeddings_are_matched_by_study_id_whatever_the_order_of_rows(folder, tmp_path):
    ids = [f"s{i}" for i in range(60)]
    metrics = []
    for name, order in (("a", np.arange(60)), ("b", np.random.default_rng(1).permutation(60))):
        table = own_embeddings(tmp_path / f"{name}.parquet", ids=ids, order=order)
        where = ("--studies", folder / "s.parquet", "--annotations", folder / "a.parquet", "--resamples", 20)
        found = run("evaluate", "--embeddings", table, *where, "--method", "own", "-o", tmp_path / name)
        assert found.exit_code == 0, found.output
        assert "30 studies of 30 patients" in found.output
        metrics.append(pq.read_table(tmp_path / name / "metrics.parquet").to_pylist())
    assert repr(metrics[0]) == repr(metrics[1])
    values = {(r["task"], r["metric"], r["direction"]): r["value"] for r in metrics[0] if r["queries"] != "normal"}
    assert values["retrieval", "fine P@5", "i2t"] == 1.0
    assert {"probe 100%", "retrieval", "diagnostic"} <= {r["task"] for r in metrics[0]}


def test_own_embeddings_without_studies_count_every_study_as_a_patient(folder, tmp_path):
    table = own_embeddings(tmp_path / "e.parquet", ids=[f"s{i}" for i in range(12)], order=np.arange(12))
    found = run("evaluate", "--embeddings", table, "--annotations", folder / "a.parquet", "-o", tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert "12 studies of 12 patients" in found.output
    assert "a patient of its own" in found.output + found.stderr


def test_studies_whose_reports_were_not_read_are_said_to_be_left_out(folder, tmp_path):
    table = own_embeddings(tmp_path / "e.parquet", ids=[f"s{i}" for i in range(12)], order=np.arange(12))
    read = [Annotation(f"s{i}", (Finding("edema", "present"),)) for i in range(1, 12)]
    annotations = [Annotation("s0", (), read=False), *read]
    write_table(annotations_to_table(annotations), tmp_path / "a.parquet", Provenance("annotations"))
    found = run("evaluate", "--embeddings", table, "--annotations", tmp_path / "a.parquet", "-o", tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert "11 studies of 11 patients" in found.output
    assert "studies left out: 1" in found.output + found.stderr


def test_own_embeddings_that_lack_studies_or_a_source_are_refused(folder, tmp_path):
    table = own_embeddings(tmp_path / "e.parquet", ids=[f"s{i}" for i in range(40)], order=np.arange(40))
    truth = ("--annotations", folder / "a.parquet", "-o", tmp_path / "out")
    short = run("evaluate", "--embeddings", table, "--studies", folder / "s.parquet", *truth)
    assert isinstance(short.exception, EmbeddingsError)
    assert "20 studies are not in them" in str(short.exception)
    for wrong in (("--embeddings", table, folder / "model0"), (), (folder / "model0",)):
        assert isinstance(run("evaluate", *wrong, *truth).exception, ConfigError)
    column = ("--embeddings", table, "--truth-column", "truth", "-o", tmp_path / "out")
    assert "--truth-column needs --studies" in str(run("evaluate", *column).exception)


def test_no_interval_is_cut_in_a_terminal_of_80_columns(monkeypatch):
    figures = tuple(
        Figure("retrieval", metric, 1.0, 0.124, 1.0, 2000, direction, "all")
        for metric in command.HEADLINE
        for direction in DIRECTION_NAMES
    )
    facts = {"studies": 2000, "patients": 2000, "normal": 0, "trivial": [], "labels_left_out": []}
    console = Console(width=80, file=io.StringIO())
    monkeypatch.setattr(command, "out", console)
    command._show(EvaluationResult("m", figures, "f", facts=facts))
    shown = console.file.getvalue()
    assert shown.count("(12.4–100.0)") == len(figures)
    assert "…" not in shown
