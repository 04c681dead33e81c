"""The public names: which there are, that nothing is loaded before it is used, and that their examples run."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import medtrim

NAMES = [name for name in medtrim.__all__ if name != "__version__"]
HEAVY = ("torch", "numpy", "pyarrow", "pydantic", "transformers", "sklearn", "typer", "medtrim.types")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_loads_nothing_but_itself():
    loaded = python("import sys, medtrim; medtrim.__all__; dir(medtrim); print(*sys.modules)").split()
    assert not [name for name in HEAVY if name in loaded]
    assert [name for name in loaded if name.split(".")[0] == "medtrim"] == ["medtrim"]


def test_recognition_needs_no_torch():
    code = (
        "import sys, medtrim; t = medtrim.findings_table(medtrim.annotate(['Left effusion.'])); "
        "medtrim.mine_triplets, medtrim.score_matrix; print(len(t), 'torch' in sys.modules)"
    )
    assert python(code).split() == ["1", "False"]


def test_names_are_listed_typed_and_there():
    tree = ast.parse(Path(inspect.getfile(medtrim)).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(NAMES) == set(medtrim._MODULES)
    assert sorted(medtrim.__all__) == medtrim.__all__
    assert set(medtrim.__all__) <= set(dir(medtrim))
    for name in NAMES:
        assert callable(getattr(medtrim, name)), name
    assert medtrim.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'anotate'"):
        medtrim.anotate  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example_that_runs(name, workplace, tmp_path, monkeypatch):
    for entry in workplace.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    thing = getattr(medtrim, name)
    globs: dict[str, object] = {}
    found = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", globs, name, None, None)
    assert found.examples, f"medtrim.{name} has no example"
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=report.append)
    assert not result.failed, "".join(report)


@pytest.mark.parametrize("name", NAMES)
def test_public_docstrings_say_what_goes_in_and_what_can_go_wrong(name):
    thing = getattr(medtrim, name)
    text = inspect.getdoc(thing) or ""
    if inspect.isfunction(thing):
        assert "Raises:" in text
        for parameter in inspect.signature(thing).parameters:
            assert f"{parameter}" in text, f"{name}: {parameter} is not described"
    signature = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing)
    for parameter in signature.parameters.values():
        if parameter.name != "self":
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter.name)


def test_the_command_line_starts_without_the_heavy_packages():
    """`medtrim --help` in under 0.4 s on a quiet machine, without a stopwatch that fails on a busy one."""
    loaded = python("import sys, medtrim.cli; print(*sys.modules)").split()
    assert not {"torch", "numpy", "pyarrow", "transformers", "sklearn", "lancedb"} & set(loaded)
