"""Any table with a row a study: columns found by name or given by hand, further columns kept as labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from medtrim.data.boundary import UnusableError, cell_text, path_text
from medtrim.data.columns import ColumnMap, map_columns
from medtrim.data.picture_store import PictureStore
from medtrim.data.raw import Patients, RawRecord
from medtrim.data.rows import Row, read_rows
from medtrim.types import schemas

_IMAGE_SEPARATOR = "|"


def read_table_records(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    patients: Patients = "required",
    encoding: str = "utf-8",
    pictures: PictureStore | None = None,
) -> tuple[Iterable[RawRecord], bool]:
    """Records of a table file, and whether its cells came as text.

    See `rows.read_rows` for the formats and `columns.map_columns` for the columns. A cell of `images` is a list
    (Parquet, JSON), or paths with `|` between them; Hugging Face's image columns hold the files themselves, which
    go to `pictures`. Without a study column, the image's file name without its suffix names the study, or its
    whole path where file names repeat.
    """
    table = read_rows(path, encoding=encoding)
    mapping = map_columns(table.columns, columns=columns, patients=patients, table=path.name)
    records = (record_of(row, mapping, pictures=pictures) for row in table.rows)
    named = records if "study_id" in mapping.fields else _named_by_image(list(records))
    return named, not table.typed


def record_of(row: Row, mapping: ColumnMap, *, pictures: PictureStore | None = None) -> RawRecord:
    """One row as a record; `problem` says what of it cannot be used."""

    def value(field: str) -> Any:
        return row.cells.get(mapping.fields.get(field, ""))

    problem = row.problem
    texts: dict[str, str] = {}
    for field in ("study_id", "patient_id", "view", "split", "findings", "impression", "text"):
        try:
            # A view may be given for each image.
            given = value(field)
            texts[field] = "" if field == "view" and isinstance(given, list | tuple) else cell_text(given)
        except UnusableError as error:
            texts[field] = ""
            problem = problem or f"{mapping.fields[field]}: {error}"
    images: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    try:
        images = _images(value("images"), pictures)
        views = _views(value("view"), len(images))
    except UnusableError as error:
        problem = problem or f"image: {error}"
    return RawRecord(
        source=row.source,
        images=images,
        views=views,
        labels={_label_name(name): row.cells.get(name) for name in mapping.labels},
        problem=problem,
        **texts,
    )


def _label_name(name: str) -> str:
    """A label may not take the name of a studies column (it can where that column was mapped by hand)."""
    return f"source_{name}" if name in schemas.STUDIES.names else name


def _images(value: Any, pictures: PictureStore | None) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        parts = value
    elif isinstance(value, bytes | dict):
        parts = [value]
    else:
        parts = path_text(value).split(_IMAGE_SEPARATOR)
    found = []
    for part in parts:
        if isinstance(part, bytes | dict):
            if pictures is None:
                raise UnusableError("the table holds the image itself; `medtrim data import` writes it to a file")
            found.append(pictures.keep(part))
        else:
            found.append(path_text(part))
    return tuple(path for path in found if path)


def _views(value: Any, images: int) -> tuple[str, ...]:
    """The view of each image where the cell is a list of as many, or has as many parts with `|` between them."""
    listed = value if isinstance(value, list | tuple) else cell_text(value).split(_IMAGE_SEPARATOR)
    if len(listed) != images or (len(listed) == 1 and not isinstance(value, list | tuple)):
        return ()
    return tuple(cell_text(view) for view in listed)


def _named_by_image(records: list[RawRecord]) -> Iterator[RawRecord]:
    paths = [PurePosixPath(r.images[0]) if r.images else None for r in records]
    stems = [p.stem for p in paths if p is not None]
    unique = len(set(stems)) == len(stems)
    for record, path in zip(records, paths, strict=True):
        name = "" if path is None else path.stem if unique else str(path.with_suffix(""))
        yield replace(record, study_id=name)
