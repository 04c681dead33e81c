"""The documentation: every public name has its place in the API reference, links lead somewhere, snippets run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import medtrim

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SNIPPETS = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "api").glob("*.md"))]


def test_every_public_name_is_in_the_api_reference_once():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    documented = re.findall(r"^::: medtrim\.(\w+)$", text, re.M)
    assert sorted(documented) == sorted(set(medtrim.__all__) - {"__version__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_snippets_run_in_a_clean_folder(page, tmp_path, monkeypatch, workplace):
    """The blocks of a page, one after the other, in a folder with the tables and the model that they name."""
    for entry in workplace.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    if "docs/api" not in page.as_posix():
        monkeypatch.setitem(sys.modules, "pandas", None)  # the first pages ask for no more than they say to install
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        exec(compile(block, str(page), "exec"), names)
