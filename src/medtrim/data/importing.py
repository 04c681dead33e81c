"""Any corpus → one studies table with checked images and splits, and a table of what could not be used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from medtrim.data.check import check_images
from medtrim.data.corpus import NO_IMAGE, Layout, read_corpus
from medtrim.data.limits import DEFAULT_LIMITS, ImageLimits
from medtrim.data.picture_store import PictureStore
from medtrim.data.raw import CorpusReading, Patients, SplitSections
from medtrim.data.splits import DEFAULT_FRACTIONS, assign_splits, check_splits
from medtrim.data.views import View
from medtrim.errors import TableError
from medtrim.types import Provenance, Reject
from medtrim.types.outputs import check_output, check_table_output, sole_writer
from medtrim.types.tables import Progress, no_progress, rejects_to_table, studies_to_table, write_table


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read a corpus; the fields of `read_corpus`, and what to do with images and splits.

    Attributes:
        reports_only: leave images out, even where the source lists them.
        check: decode every image once and reject those that cannot be used.
        fractions: shares of the splits for patients without one; None leaves the table's splits alone.
    """

    layout: Layout = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    patients: Patients = "required"
    view: View = "all"
    encoding: str = "utf-8"
    reports_only: bool = False
    check: bool = True
    limits: ImageLimits = DEFAULT_LIMITS
    fractions: Mapping[str, float] | None = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    seed: int = 0


def rejects_path(output: Path | str) -> Path:
    """Where the rejects of a table go: `studies.parquet` → `studies.rejects.parquet`."""
    return Path(output).with_suffix(".rejects.parquet")


def import_corpus(
    source: Path | str,
    output: Path | str,
    *,
    split_sections: SplitSections,
    image_root: Path | str | None = None,
    report_root: Path | str | None = None,
    options: ImportOptions | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> CorpusReading:
    """Read `source`, check its images, assign splits, and write the studies table `output`.

    Images that the table holds itself go to `studies.images/` beside `studies.parquet`.

    Relative image paths start from `image_root`, or else from the folder of `source`. In the table they are
    relative to `output`'s folder where the images lie below it, absolute elsewhere. Rejects go to
    `rejects_path(output)`; an older one is removed where there are none.

    Raises:
        TableError: as `read_corpus`, or nothing usable is left.
        ConfigError: the studies or their rejects would overwrite `source`, cannot be written, or are being written
            by another process.
    """
    options = options or ImportOptions()
    source, output = Path(source), Path(output)
    check_table_output(output, source)
    check_output(rejects_path(output), source)
    with sole_writer(output, rejects_path(output)):
        reading = read_corpus(
            source,
            split_sections=split_sections,
            layout=options.layout,
            columns=options.columns,
            image_root=image_root,
            report_root=report_root,
            patients=options.patients,
            view=options.view,
            encoding=options.encoding,
            pictures=PictureStore(output.absolute().with_suffix(".images")),
        )
        root = Path(image_root) if image_root is not None else source if source.is_dir() else source.parent
        studies, rejects = reading.studies, list(reading.rejects)
        warnings = tuple(w for w in reading.warnings if not (options.reports_only and w == NO_IMAGE))
        notes = reading.notes
        del reading  # columns that are replaced below go
        if options.reports_only:
            none: list[list[str]] = [[]] * len(studies)
            studies = studies.replaced("images", pa.chunked_array([pa.array(none, pa.list_(pa.string()))]))
        elif options.check and NO_IMAGE not in warnings:
            checked = check_images(studies, root=root, limits=options.limits, workers=workers, progress=progress)
            studies = checked.studies
            rejects += checked.rejects
            del checked
        _write_rejects(rejects, output, options)
        if not studies:
            raise TableError(_nothing_usable(source, output, rejects))
        if options.fractions is not None:
            studies = assign_splits(studies, fractions=options.fractions, seed=options.seed)
        else:
            check_splits(studies)
        studies = studies.map_images(_placing(root, output.parent))
        write_table(studies_to_table(studies), output, _provenance("studies", options))
    return CorpusReading(studies, tuple(rejects), warnings, notes)


def _nothing_usable(source: Path, output: Path, rejects: list[Reject]) -> str:
    reasons = "; ".join(
        f"{count} × {reason}" for reason, count in Counter(r.reason for r in rejects).most_common(3)
    )
    return f"no usable study in {source} ({reasons}); all reasons are in {rejects_path(output)}"


def _write_rejects(rejects: list[Reject], output: Path, options: ImportOptions) -> None:
    path = rejects_path(output)
    if rejects:
        write_table(rejects_to_table(rejects), path, _provenance("rejects", options))
    else:
        path.unlink(missing_ok=True)


def _placing(root: Path, folder: Path) -> Callable[[str], str]:
    """Of an image below `root` its path from `folder` where it lies below it, else the absolute one."""
    start, below = os.path.abspath(root), os.path.join(os.path.abspath(folder), "")
    return lambda image: os.path.normpath(os.path.join(start, image)).removeprefix(below)


def _provenance(kind: str, options: ImportOptions) -> Provenance:
    config = {
        "layout": options.layout,
        "columns": dict(options.columns),
        "patients": options.patients,
        "view": options.view,
        "encoding": options.encoding,
        "fractions": dict(options.fractions) if options.fractions is not None else None,
    }
    return Provenance(kind, config=config, seed=options.seed)
