"""What a user sees when a command fails: one line on standard error, exit code 2, no traceback."""

from __future__ import annotations

import errno
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medtrim.cli import console, main
from medtrim.types import Annotation, Finding, Provenance, Study, medtrim_version
from medtrim.types.tables import annotations_to_table, studies_to_table, write_table


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["medtrim", *map(str, arguments)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # Typer puts its own there
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return Outcome(exit_.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    findings = [(Finding("edema", "present"),), (), (Finding("cardiomegaly", "present", ("mild",)),)]
    studies = [Study(f"s{i}", f"p{i}", findings=f"Report {i}: mild edema.") for i in range(3)]
    write_table(studies_to_table(studies), tmp_path / "studies.parquet", Provenance("studies"))
    annotations = annotations_to_table([Annotation(f"s{i}", f) for i, f in enumerate(findings)])
    write_table(annotations, tmp_path / "a.parquet", Provenance("annotations"))
    (tmp_path / "studies.csv").write_text("study_id,patient_id,findings\ns0,p0,Mild edema.\ns1,p1,Clear.\n")
    (tmp_path / "o.yaml").write_text("{}\n")
    return tmp_path


def test_the_package_runs_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["medtrim", "--version"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("medtrim", run_name="__main__")
    assert not exit_.value.code
    assert capsys.readouterr().out == f"medtrim {medtrim_version()}\n"


@pytest.mark.parametrize("command", [("annotate",), ("data", "cache"), ("evaluate",), ("index", "build")])
def test_help_names_the_extra_in_its_brackets(run, command):
    assert "medtrim[ray]" in "".join(run(*command, "--help").out.split())


@pytest.mark.parametrize("name", ["[/x].csv", "[abc].csv", "[red]"])
def test_brackets_in_an_error_are_no_markup(run, tmp_path, name):
    found = run("annotate", tmp_path / name, "-o", tmp_path / "a.parquet")
    assert found.code == 2
    assert found.err == f"error: {tmp_path / name} does not exist\n"


def test_brackets_in_what_is_printed_are_no_markup(run, folder):
    where = folder / "[abc]" / "[/x].parquet"
    found = run("annotate", folder / "studies.parquet", "-o", where)
    assert found.code == 0
    assert str(where) in found.out
    found = run("annotate", folder / "studies.parquet", "-o", where, "--compare", folder / "a.parquet")
    assert found.code == 0
    assert "[/x].disagreements.parquet" in found.out
    assert "[abc]" in run("score", folder / "a.parquet", "[abc]", "s1").err


def test_rejects_are_named_as_they_are(capsys):
    console.report_rejects(2, "[/x].parquet", strict=False)
    assert capsys.readouterr().err == "2 record(s) could not be used; see [/x].parquet\n"


COMMANDS = (
    ("data", "import", "{}", "-o", "{}", "--split", "none"),
    ("annotate", "{}", "-o", "{}"),
    ("mine", "{}", "-o", "{}"),
    ("explain", "{}", "--html", "{}"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
@pytest.mark.parametrize("name", ["studies.csv", "studies.parquet"])
def test_an_input_is_never_overwritten(run, folder, command, name):
    before = (folder / name).read_bytes()
    alias = folder / "alias"
    alias.symlink_to(folder)
    paths = iter((folder / name, alias / name))
    found = run(*(next(paths) if part == "{}" else part for part in command))
    assert found.code == 2
    assert "would be overwritten" in found.err
    assert (folder / name).read_bytes() == before


def test_side_tables_do_not_overwrite_an_input_either(run, folder):
    source = folder / "s.rejects.parquet"
    source.write_bytes((folder / "studies.parquet").read_bytes())
    before = source.read_bytes()
    assert run("data", "import", source, "-o", folder / "s.parquet", "--split", "none").code == 2
    assert run("annotate", source, "-o", folder / "s.parquet").code == 2
    theirs = folder / "b.disagreements.parquet"
    theirs.write_bytes((folder / "a.parquet").read_bytes())
    assert run("annotate", folder / "studies.parquet", "-o", folder / "b.parquet", "--compare", theirs).code == 2
    overlay = ("--ontology", folder / "o.yaml")
    assert run("annotate", folder / "studies.parquet", "-o", folder / "o.yaml", *overlay).code == 2
    assert run(
        "mine", folder / "a.parquet", "--studies", folder / "studies.parquet", "-o", folder / "studies.parquet"
    )
    assert source.read_bytes() == before
    assert len(pq.read_table(folder / "studies.parquet")) == 3


@pytest.mark.parametrize(
    "command",
    [
        ("annotate", "studies.parquet", "-o", "studies.csv/x.parquet"),
        ("annotate", "studies.parquet", "-o", "."),
        ("annotate", "studies.parquet", "-o", "/proc/x.parquet"),
        ("data", "import", "studies.parquet", "-o", "studies.csv/x.parquet", "--split", "none"),
        ("data", "cache", "studies.parquet", "-o", "studies.csv"),
        ("phantom", "-o", "studies.csv", "-n", "2"),
        ("mine", "a.parquet", "-o", "."),
        ("audit", "a.parquet", "--annotations", "a.parquet", "-o", "studies.csv"),
        ("explain", "studies.csv", "--html", "."),
        ("evaluate", ".", "--studies", "studies.parquet", "--annotations", "a.parquet", "-o", "studies.csv"),
        ("index", ".", "studies.parquet", "-o", "studies.csv"),
    ],
    ids=" ".join,
)
def test_an_output_that_cannot_be_written_is_a_line_before_the_work(run, folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    found = run(*command)
    assert found.code == 2
    line = found.err.splitlines()[-1]  # above it, a progress bar that has not moved
    assert line.startswith("error: ")
    assert command[command.index("-o" if "-o" in command else "--html") + 1] in line


def test_a_disk_that_fills_up_is_a_line(run, folder, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    found = run("annotate", folder / "studies.parquet", "-o", folder / "x.parquet")
    assert found.code == 2
    assert f"error: {folder / 'x.parquet'} cannot be written (No space left on device)" in found.err
    assert not [*folder.glob(".*"), *folder.glob("x.*")]


def test_what_the_system_refuses_anywhere_is_a_line(run, monkeypatch):
    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/some/[where]")

    monkeypatch.setattr("medtrim.entities.load_ontology", lambda *_: refused())
    found = run("ontology", "lint")
    assert (found.code, found.err) == (2, "error: /some/[where]: Permission denied\n")


@pytest.mark.parametrize(
    "options",
    [("--batch-size", "0"), ("--seed", "-1"), ("--resamples", "0"), ("--min-count", "0")],
    ids=" ".join,
)
def test_evaluate_names_an_option_out_of_range(run, folder, options):
    found = run("evaluate", folder, "--studies", folder / "studies.parquet", "-o", folder / "out", *options)
    assert found.code == 2
    assert options[0] in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("device", ["cuda:99", "foo", "meta"])
def test_a_device_that_is_not_there_is_a_line(run, folder, device):
    where = ("--studies", folder / "studies.parquet", "-o", folder / "out", "--device", device)
    for command in (("evaluate", folder, *where), ("index", folder, folder / "studies.parquet", *where[2:])):
        found = run(*command)
        assert found.code == 2
        assert found.err.startswith(f"error: --device '{device}'")


def test_mine_takes_no_negative_seed(run, folder):
    found = run("mine", folder / "a.parquet", "-o", folder / "t.parquet", "--seed", -1)
    assert found.code == 2
    assert "--seed" in found.err
