"""The fault table of docs/data.md: every row is made anew here, and what comes of it is the table's "seen"."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medtrim.data.importing import ImportOptions, import_corpus
from medtrim.entities import split_sections
from medtrim.errors import MedTrimError
from medtrim.types.tables import read_studies

ROOT = Path(__file__).parents[2]
GOOD = {"study_id": "good", "patient_id": "p", "findings": "Clear."}
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def text(name: str, content: str | bytes, **options: object) -> Callable[[Path], str]:
    """A table of that content, beside what is good."""

    def seen(folder: Path) -> str:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return outcome(folder / name, **options)

    return seen


def row(**cells: object) -> Callable[[Path], str]:
    """A bad row of JSON behind a good one."""
    bad = {"study_id": "bad", "patient_id": "q", "findings": "Clear.", **cells}
    return text("t.jsonl", f"{json.dumps(GOOD)}\n{json.dumps(bad)}\n")


def image(content: bytes | None, name: str = "i.png") -> Callable[[Path], str]:
    """A row whose image holds these bytes; None: there is no such file."""

    def seen(folder: Path) -> str:
        if content is not None:
            (folder / name).write_bytes(content)
        return of_image(folder, name)

    return seen


def of_image(folder: Path, name: str) -> str:
    (folder / "good.png").write_bytes(encoded(Image.fromarray(NOISE)))
    rows = [{**GOOD, "image": "good.png"}, {**GOOD, "study_id": "bad", "image": name}]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return outcome(folder / "t.jsonl", check=True)


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "i.png")
    return of_image(folder, "i.png")


def huge(folder: Path) -> str:
    with (folder / "i.png").open("wb") as file:
        file.truncate(513 * 2**20)
    return of_image(folder, "i.png")


def parquet(**columns: pa.Array) -> Callable[[Path], str]:
    def seen(folder: Path) -> str:
        pq.write_table(pa.table(columns), folder / "t.parquet")
        return outcome(folder / "t.parquet")

    return seen


def doubled(folder: Path) -> str:
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["study_id", "findings", "findings"])
    pq.write_table(table, folder / "t.parquet")
    return outcome(folder / "t.parquet")


def torn_parquet(folder: Path) -> str:
    pq.write_table(pa.table({k: [v] for k, v in GOOD.items()}), folder / "t.parquet")
    content = (folder / "t.parquet").read_bytes()
    (folder / "t.parquet").write_bytes(content[: len(content) // 2])
    return outcome(folder / "t.parquet")


def xml(folder: Path) -> str:
    (folder / "x").mkdir()
    (folder / "x" / "1.xml").write_text("<eCitation><uId id='CXR1'/>")
    (folder / "x" / "2.xml").write_text(
        "<eCitation><uId id='good'/><AbstractText Label='FINDINGS'>Clear.</AbstractText></eCitation>"
    )
    return outcome(folder / "x")


def outcome(source: Path, output: str = "s.parquet", **options: object) -> str:
    """The reasons of what is rejected, else what became of the last study; an error in its first words."""
    folder = source.parent
    try:
        reading = import_corpus(
            source,
            folder / output,
            split_sections=split_sections,
            options=ImportOptions(**{"check": False, "fractions": None, **options}),
        )
    except MedTrimError as error:
        return f"error: {str(error).replace(f'{folder}/', '')}".split(";")[0].split(" (")[0]
    if reading.rejects:
        assert any(s.study_id == "good" for s in reading.studies)
        return "; ".join(dict.fromkeys(reject.reason for reject in reading.rejects)).replace("|", "\\|")
    study = read_studies(folder / output)[-1]
    return f"read: {study.labels.get('label', study.images or study.findings)!r}"


HEADER = "study_id,patient_id,findings"
REJECT, ERROR, READ = "reject", "error", "read"
FAULTS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "no study id": (REJECT, row(study_id="")),
    "no patient id": (REJECT, row(patient_id="")),
    "empty report": (REJECT, row(findings=" ")),
    "report without findings and impression": (
        REJECT,
        text(
            "t.csv",
            'study_id,patient_id,text\ngood,p,"FINDINGS: Clear."\nbad,q,"EXAMINATION: Chest.\nINDICATION: Pain."\n',
        ),
    ),
    "study id occurs twice": (REJECT, row(study_id="good", findings="Other.")),
    "NUL in a cell": (REJECT, row(findings="a\x00b")),
    "lone surrogate in a cell": (REJECT, row(findings="\ud800")),
    "Latin-1 byte in a row": (REJECT, text("t.csv", f"{HEADER}\ngood,p,Clear.\nbad,q,fum\xe9\n".encode("latin-1"))),
    "Latin-1 byte in the header": (ERROR, text("t.csv", f"{HEADER},fum\xe9\ngood,p,Clear.,1\n".encode("latin-1"))),
    "object for a text": (REJECT, row(findings={"a": 1})),
    "truth value for a text": (REJECT, row(findings=True)),
    "binary text in UTF-8": (READ, parquet(**{k: pa.array([v.encode()]) for k, v in GOOD.items()})),
    "binary text in no UTF-8": (
        REJECT,
        parquet(**{k: pa.array([v.encode(), b"x" if k != "findings" else b"\xff"]) for k, v in GOOD.items()}),
    ),
    "row with too few cells": (REJECT, text("t.csv", f"{HEADER}\ngood,p,Clear.\nbad,q\n")),
    "malformed JSON": (REJECT, text("t.jsonl", f'{json.dumps(GOOD)}\n{{"study_id": \n')),
    "JSON nested 100,000 deep": (
        REJECT,
        text("t.jsonl", f'{json.dumps(GOOD)}\n{{"study_id": {"[" * 100_000}{"]" * 100_000}}}\n'),
    ),
    "malformed XML": (REJECT, xml),
    "`{}` as a label": (READ, row(label={})),
    "whole number of more than 64 bits as a label": (READ, row(label=2**70)),
    "`1_000` as a label": (READ, text("t.csv", f"{HEADER},label\ngood,p,Clear.,1_000\n")),
    "time finer than a microsecond": (
        READ,
        parquet(
            **{k: pa.array([v]) for k, v in GOOD.items()},
            label=pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")),
        ),
    ),
    "path as Windows writes it": (READ, row(image="a\\b.png")),
    "image is missing": (REJECT, image(None)),
    "image is empty": (REJECT, image(b"")),
    "image is a pipe": (REJECT, pipe),
    "image of more than 512 MiB": (REJECT, huge),
    "image in another format (GIF)": (REJECT, image(encoded(Image.fromarray(NOISE), "GIF"))),
    "image of several frames (PNG)": (
        REJECT,
        image(
            encoded(Image.fromarray(NOISE), save_all=True, append_images=[Image.fromarray(NOISE[::-1])]),
        ),
    ),
    "torn image": (REJECT, image(encoded(Image.fromarray(NOISE))[:2000])),
    "image of one gray level": (REJECT, image(encoded(Image.new("L", (64, 64), 7)))),
    "image of fewer than 16 pixels a side": (REJECT, image(encoded(Image.fromarray(NOISE[:8])))),
    "image of more than 80 million pixels": (REJECT, image(encoded(Image.new("1", (9001, 9001))))),
    "image with sides in a ratio above 5": (REJECT, image(encoded(Image.fromarray(np.tile(NOISE, (1, 8)))))),
    "column occurs twice": (ERROR, doubled),
    "torn Parquet file": (ERROR, torn_parquet),
    "`.xls`": (ERROR, text("t.xls", b"\xd0\xcf\x11\xe0")),
    "patient in two splits": (
        ERROR,
        text("t.csv", f"{HEADER},split\na,p,Clear.,train\nb,p,Edema.,test\n"),
    ),
    "output named `.csv`": (ERROR, text("t.csv", f"{HEADER}\ngood,p,Clear.\n", output="out.csv")),
}


@pytest.fixture(scope="module")
def listed() -> dict[str, list[str]]:
    """The rows of the table in the documentation by their kind."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    table = page.split("| kind | expected | seen | test |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
    return {kind: rest for kind, *rest in cells}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_ends_as_the_documentation_says(kind, listed, tmp_path):
    expected, seen = FAULTS[kind]
    found = seen(tmp_path)
    began = found.partition(":")[0] if found.startswith(("error: ", "read: ")) else REJECT
    assert began == expected
    assert listed[kind][:2] == [expected, found]


def test_every_row_of_the_table_names_a_test_that_is_there(listed):
    assert set(FAULTS) <= set(listed)
    for kind, (_, _, test) in listed.items():
        place, _, name = test.strip("`").partition("::")
        tree = ast.parse((ROOT / "tests" / place).read_text(encoding="utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in tests if kind not in FAULTS else place == "data/test_faults.py"
