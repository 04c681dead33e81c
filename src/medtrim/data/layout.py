"""A public archive's layout, described in a YAML file of `layouts/`: tables, columns, images, views and splits."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medtrim.data.rows import Rows, read_rows, table_suffix
from medtrim.errors import ConfigError
from medtrim.types.yamlfile import load_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Extract(_Strict):
    """A value made of a row: `of` with columns in braces, then what `pattern` finds, less what `strip` finds."""

    of: str
    pattern: str = ""
    strip: str = ""

    def columns(self) -> list[str]:
        """The columns that the value is made of."""
        return re.findall(r"\{([^}]*)\}", self.of)


class ImageTable(_Strict):
    """A second table with a row an image: `key` names the column that both tables have."""

    table: str
    key: str
    file: str
    view: str


class LabelTruth(_Strict):
    """Labels as findings. `columns` hold 1 (present), 0 (absent) or -1 (uncertain); `list` names what is present.

    `columns` and `names` lead from the archive's label to the disease's canonical name.
    """

    columns: dict[str, str] = {}
    list: str = ""
    names: dict[str, str] = {}


class Description(_Strict):
    """One archive.

    Attributes:
        tables: file below the root (a pattern) → the split of its rows, or "".
        columns: columns that tell the archive's table from others; `absent` ones must not be there.
        any_name: these columns suffice, whatever the file is called.
        folders: where images may lie below the root (patterns), in this order.
        suffixes: what images may end in where the table's own does not exist.
        view: columns with the view, the first that is not empty counts; `lateral` names one that may say lateral.
        split_lists: file of image names → their split.
        exclude: column → values whose rows are rejected.
        empty_reports: studies without a report are kept, for their labels.
        no_labels: further columns (a pattern) that do not become label columns.
        lists: label column → pattern of its elements' separator, or of an element where it has a group.
        note: what a user of the archive should know.
    """

    title: str
    tables: dict[str, str]
    columns: list[str]
    absent: list[str] = []
    any_name: bool = False
    study: Extract
    patient: Extract
    image: Extract | None = None
    images: ImageTable | None = None
    folders: list[str] = ["."]
    suffixes: list[str] = []
    view: list[str] = []
    lateral: str = ""
    findings: str = ""
    impression: str = ""
    text: str = ""
    split: str = ""
    split_lists: dict[str, str] = {}
    exclude: dict[str, list[str]] = {}
    empty_reports: bool = False
    no_labels: str = ""
    lists: dict[str, str] = {}
    truth: LabelTruth = LabelTruth()
    note: str = ""

    @property
    def labels_only(self) -> bool:
        """Whether the archive has no reports at all."""
        return not (self.findings or self.impression or self.text)

    def used_columns(self) -> set[str]:
        """The columns that hold a study's fields, and so are no labels."""
        values = [value for value in (self.study, self.patient, self.image) if value is not None]
        named = {self.findings, self.impression, self.text, self.split, self.lateral, *self.view}
        return (named | {column for value in values for column in value.columns()}) - {""}

    def fits(self, table: Rows) -> bool:
        """Whether a table has the archive's columns."""
        return set(self.columns) <= set(table.columns) and not set(self.absent) & set(table.columns)

    def tables_in(self, root: Path) -> dict[Path, str]:
        """The archive's tables below the folder `root` with the split of each, in order."""
        found: dict[Path, str] = {}
        for pattern, split in self.tables.items():
            found |= {file: split for file in sorted(root.glob(pattern)) if file.is_file()}
        return {file: split for file, split in found.items() if self.fits(read_rows(file))}

    def split_of(self, file: Path) -> str | None:
        """The split that a table's name stands for; None where the archive has no table of such a name."""
        for pattern, split in self.tables.items():
            if fnmatch(file.name, pattern.rpartition("/")[2]):
                return split
        return None


def layout_names() -> tuple[str, ...]:
    """Names of the described layouts, such as `chexpert-plus`."""
    folder = files("medtrim.data") / "layouts"
    return tuple(
        sorted(f.name.removesuffix(".yaml").replace("_", "-") for f in folder.iterdir() if f.name.endswith(".yaml"))
    )


@cache
def load_layout(name: str) -> Description:
    """The description of the layout `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in layout_names():
        raise ConfigError(f"no layout {name!r}; described are {', '.join(layout_names())}")
    file = files("medtrim.data") / "layouts" / f"{name.replace('-', '_')}.yaml"
    return Description.model_validate(load_yaml(file.read_text(encoding="utf-8"), source=name))


def detect(path: Path, *, encoding: str = "utf-8") -> str:
    """The layout whose table `path` is, or whose root folder; empty where it is none's."""
    if path.is_dir():
        return next((name for name in layout_names() if load_layout(name).tables_in(path)), "")
    if not table_suffix(path):
        return ""
    described = {name: load_layout(name) for name in layout_names()}
    likely = {name: d for name, d in described.items() if d.any_name or d.split_of(path) is not None}
    if table_suffix(path) == ".json":  # read whole to know its columns, so only where the name fits
        likely = {name: d for name, d in likely.items() if d.split_of(path) is not None}
    if not likely:
        return ""
    table = read_rows(path, encoding=encoding)
    return next((name for name, d in likely.items() if d.fits(table)), "")
