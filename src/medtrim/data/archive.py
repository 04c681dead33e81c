"""Records of a public archive, read as its description in `layouts/` says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from medtrim.data.boundary import UnusableError, cell_text, path_text
from medtrim.data.layout import Description, Extract
from medtrim.data.raw import RawRecord
from medtrim.data.rows import Row, read_rows
from medtrim.data.views import view_name
from medtrim.errors import TableError
from medtrim.types.tables import check_columns

TRUTH = "truth"
"""Label column with the archive's labels as findings, for `medtrim evaluate --truth-column truth`."""
_ASSERTIONS = {1.0: "present", 0.0: "absent", -1.0: "uncertain"}
# Images that are looked for to learn which folder and suffix they have.
_SAMPLE = 20


def read_archive(
    path: Path, described: Description, *, image_root: Path | None = None, encoding: str = "utf-8"
) -> tuple[list[RawRecord], bool]:
    """Records of the archive's tables in the folder `path`, or of the one table `path`; whether cells are text.

    Image paths are relative to `image_root`, or else to the archive's root.

    Raises:
        TableError: no table is there, or columns are missing.
    """
    if path.is_dir():
        tables = described.tables_in(path)
        if not tables:
            raise TableError(
                f"{path}: none of {', '.join(described.tables)} with columns {', '.join(described.columns)}"
            )
    else:
        tables = {path: described.split_of(path) or ""}
    root = path if path.is_dir() else _root_of(path, described)
    lists = _split_lists(root, described)
    beside = _image_rows(root, described, encoding)
    records: list[RawRecord] = []
    textual = True
    for file, split in tables.items():
        table = read_rows(file, encoding=encoding)
        check_columns(table.columns, described.columns, table=file.name)
        textual = textual and not table.typed
        unwanted = re.compile(described.no_labels)
        used = described.used_columns()
        labels = [c for c in table.columns if c not in used and not unwanted.fullmatch(c)]
        record = partial(_record, described=described, labels=labels, split=split, lists=lists, beside=beside)
        records += map(record, table.rows)
    return _placed(records, image_root or root, described), textual


def _root_of(file: Path, described: Description) -> Path:
    """The archive's root above one of its tables: as many folders up as the description's pattern has."""
    for pattern in described.tables:
        if file.match(pattern):
            return file.parents[pattern.count("/")]
    return file.parent


def _record(
    row: Row,
    *,
    described: Description,
    labels: list[str],
    split: str,
    lists: Mapping[str, str],
    beside: Mapping[str, list[tuple[str, str]]],
) -> RawRecord:
    cells = row.cells
    if row.problem:
        return RawRecord(row.source, problem=row.problem)
    try:
        images, views = _images(cells, described, beside)
        texts = {
            field: cell_text(cells.get(getattr(described, field))) for field in ("findings", "impression", "text")
        }
        study_id, patient_id = extracted(described.study, cells), extracted(described.patient, cells)
        given = cell_text(cells.get(described.split)) if described.split else ""
        names = [PurePosixPath(i).name for i in images]
        split = given or next((lists[n] for n in names if n in lists), split)
        unwanted = next((c for c, values in described.exclude.items() if cell_text(cells.get(c)) in values), "")
        kept: dict[str, object] = {name: _label(name, cells.get(name), described) for name in labels}
        if described.truth.columns or described.truth.list:
            kept[TRUTH] = _truth(cells, kept, described)
    except UnusableError as error:
        return RawRecord(row.source, problem=str(error))
    problem = f"{unwanted} is {cell_text(cells.get(unwanted))}" if unwanted else ""
    return RawRecord(
        row.source,
        study_id,
        patient_id,
        images=images,
        views=views,
        split=split,
        labels=kept,
        problem=problem,
        **texts,
    )


def extracted(value: Extract, cells: Mapping[str, Any]) -> str:
    """The value that `value` describes; empty where a column of it is empty or its pattern is not found."""
    parts = {name: path_text(cells.get(name)) for name in value.columns()}
    if not all(parts.values()):
        return ""
    text = re.sub(r"\{([^}]*)\}", lambda m: parts[m.group(1)], value.of)
    if value.pattern:
        found = re.search(value.pattern, text)
        text = found.group() if found else ""
    return re.sub(value.strip, "", text) if value.strip else text


def _images(
    cells: Mapping[str, Any], described: Description, beside: Mapping[str, list[tuple[str, str]]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The images of a row, and the view of each."""
    if described.images is not None:
        found = beside.get(cell_text(cells.get(described.images.key)), [])
        return tuple(file for file, _ in found), tuple(view for _, view in found)
    if described.image is None:
        return (), ()
    columns = described.image.columns()
    several = next((c for c in columns if isinstance(cells.get(c), list | tuple)), "")
    parts = [{**cells, several: part} for part in cells[several]] if several else [cells]
    paths = [extracted(described.image, part) for part in parts]
    views = [_view(cells, described, i if several else None) for i in range(len(paths))]
    pairs = [(path, view) for path, view in zip(paths, views, strict=True) if path]
    return tuple(path for path, _ in pairs), tuple(view for _, view in pairs)


def _view(cells: Mapping[str, Any], described: Description, position: int | None) -> str:
    """The view of a row's image, or of its image number `position` where the cells are lists."""
    if described.lateral and cell_text(cells.get(described.lateral)).lower() == "lateral":
        return "LATERAL"
    for column in described.view:
        value = cells.get(column)
        if isinstance(value, list | tuple):
            value = value[position] if position is not None and position < len(value) else ""
        if text := cell_text(value):
            return view_name(text)
    return ""


def _label(name: str, value: object, described: Description) -> object:
    """A label's cell, taken apart where it is a list in one text."""
    if name not in described.lists or not isinstance(value, str):
        return value
    pattern = re.compile(described.lists[name])
    parts = pattern.findall(value) if pattern.groups else pattern.split(value)
    return [part.strip() for part in parts if part.strip()]


def _truth(
    cells: Mapping[str, Any], labels: Mapping[str, object], described: Description
) -> list[dict[str, object]]:
    """The labels of a row as findings, each disease once; a present one goes before an uncertain or absent one."""
    truth = described.truth
    found: dict[str, str] = {}
    for column, disease in truth.columns.items():
        text = cell_text(cells.get(column))
        if text:
            try:
                found[disease] = _ASSERTIONS[float(text)]
            except (ValueError, KeyError):
                raise UnusableError(f"label {column!r} is none of 1, 0 and -1") from None
    listed = labels.get(truth.list)
    for name in listed if isinstance(listed, list) else ():
        if name in truth.names:
            found[truth.names[name]] = "present"
    empty: list[object] = []
    return [
        {"disease": disease, "assertion": assertion, "adjectives": empty, "directions": empty, "mentions": empty}
        for disease, assertion in sorted(found.items())
    ]


def _split_lists(root: Path, described: Description) -> dict[str, str]:
    """Image name → split of the official lists."""
    return {
        line.strip(): split
        for name, split in described.split_lists.items()
        if (root / name).is_file()
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if line.strip()
    }


def _image_rows(root: Path, described: Description, encoding: str) -> dict[str, list[tuple[str, str]]]:
    """Key → (file, view) of each image, from the archive's table of images."""
    found: dict[str, list[tuple[str, str]]] = {}
    if described.images is None:
        return found
    wanted = described.images
    file = root / wanted.table
    if not file.is_file():
        return found
    table = read_rows(file, encoding=encoding)
    check_columns(table.columns, (wanted.key, wanted.file, wanted.view), table=file.name)
    for row in table.rows:
        if not row.problem:
            pair = path_text(row.cells[wanted.file]), view_name(cell_text(row.cells[wanted.view]))
            found.setdefault(cell_text(row.cells[wanted.key]), []).append(pair)
    return found


def _placed(records: list[RawRecord], root: Path, described: Description) -> list[RawRecord]:
    """`records` whose images have the folder and the suffix under which they lie below `root`."""
    folders = [d for pattern in described.folders for d in _folders(root, pattern)]
    sample = [image for r in records[:_SAMPLE] for image in r.images]
    if any("/" in image for image in sample):
        suffixes = ["", *described.suffixes]
        there = ((f, s) for f in folders for s in suffixes if any((f / _ending(i, s)).exists() for i in sample))
        folder, suffix = next(there, (root, ""))
        prefix = folder.relative_to(root)
        return [replace(r, images=tuple(str(prefix / _ending(i, suffix)) for i in r.images)) for r in records]
    # Archives that spread flat names over several folders: every folder is listed once.
    places = (
        {f.name: str(f.relative_to(root)) for d in reversed(folders) for f in sorted(d.iterdir())} if sample else {}
    )
    return [replace(r, images=tuple(places.get(i, i) for i in r.images)) for r in records]


def _folders(root: Path, pattern: str) -> Iterator[Path]:
    found = [root] if pattern == "." else sorted(root.glob(pattern))
    return (d for d in found if d.is_dir())


def _ending(image: str, suffix: str) -> str:
    return str(PurePosixPath(image).with_suffix(suffix)) if suffix else image
