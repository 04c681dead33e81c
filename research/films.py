"""Films with six zone scores by radiologists, of any folder that has a manifest such as covid_cxr's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medtrim.data.images import Fit, load_square
from medtrim.errors import TableError

MANIFEST = "manifest.csv"
Floats = NDArray[np.float64]
# BrixIA's zones A to F (Borghesi & Maroldi 2020), 0 to 3 each. The patient's right is on the picture's left.
ZONES = tuple((side, row) for side in ("right", "left") for row in ("upper", "middle", "lower"))
READERS = ("brixia_senior_", "brixia_junior_")


@dataclass(frozen=True)
class ScoredFilms:
    """Frontal films with zone scores.

    Attributes:
        paths: of the pictures.
        patients: of each film.
        senior: the scores that figures are measured against, [N 6], zones A to F.
        junior: the second reader's; NaN where there is none.
    """

    paths: tuple[Path, ...]
    patients: tuple[str, ...]
    senior: Floats
    junior: Floats

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, size: int, *, fit: Fit, equalize: bool) -> NDArray[np.uint8]:
        """The films as [N size size]."""
        return np.stack([load_square(path, size, fit=fit, equalize=equalize) for path in self.paths])


def frontal_rows(folder: Path, *, columns: str) -> list[dict[str, str]]:
    """The rows of `folder/manifest.csv` but those of lateral films; `columns` are named where there is no manifest.

    Raises:
        TableError: there is no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise TableError(f"{path} does not exist: a manifest with image, patientid, view and {columns}")
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if not row.get("view", "").strip().upper().startswith("L")]


def read_films(folder: Path) -> ScoredFilms:
    """The scored frontal films of `folder/manifest.csv`.

    Raises:
        TableError: there is no manifest, or no scored film in it.
    """
    rows = frontal_rows(folder, columns="brixia_senior_A to F")
    rows = [row for row in rows if _scores(row, READERS[0]) is not None]
    if not rows:
        raise TableError(f"{folder / MANIFEST}: no frontal film has scores of all six zones")
    unknown = [float("nan")] * len(ZONES)
    return ScoredFilms(
        paths=tuple(folder / row["image"] for row in rows),
        patients=tuple(row["patientid"] for row in rows),
        senior=np.array([_scores(row, READERS[0]) for row in rows]),
        junior=np.array([_scores(row, READERS[1]) or unknown for row in rows]),
    )


def _scores(row: dict[str, str], reader: str) -> list[float] | None:
    cells = [(row.get(f"{reader}{zone}") or "").strip() for zone in "ABCDEF"]
    return [float(cell) for cell in cells] if all(cells) else None
