"""Views of a chest radiograph: the names in use, which image of a study comes first, and which views are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa

from medtrim.types import Reject, Study
from medtrim.types.study_table import StudyTable

View = Literal["all", "frontal", "lateral"]
VIEWS: tuple[View, ...] = ("all", "frontal", "lateral")
IMAGE_VIEWS = "image_views"
"""Column of a studies table with the view of each of a study's images."""

# DICOM's View Position (PS3.3 C.8.7.1) and the spellings of public archives.
_NAMES: Mapping[str, str] = {
    "PA": "PA",
    "POSTEROANTERIOR": "PA",
    "PAERECT": "PA",
    "AP": "AP",
    "ANTEROPOSTERIOR": "AP",
    "APAXIAL": "AP",
    "APERECT": "AP",
    "APHORIZONTAL": "AP",
    "APKUB": "AP",
    "APLLD": "AP",
    "APPORTABLE": "AP",
    "APRLD": "AP",
    "APSEMIERECT": "AP",
    "APSUPINE": "AP",
    "FRONTAL": "FRONTAL",
    "LATERAL": "LATERAL",
    "LEFTLATERAL": "LATERAL",
    "RIGHTLATERAL": "LATERAL",
    "LL": "LATERAL",
    "RL": "LATERAL",
    "L": "LATERAL",
    "LLO": "LATERAL",
}
# A study's first image is the one that most uses take.
_ORDER = {"PA": 0, "AP": 1, "FRONTAL": 1, "LATERAL": 3}
_UNKNOWN = 2


def view_name(code: str) -> str:
    """`PA`, `AP`, `FRONTAL` or `LATERAL` for the spellings in use; others as they are.

    >>> view_name("postero_anterior"), view_name("AP Supine"), view_name("LL"), view_name("SWIMMERS")
    ('PA', 'AP', 'LATERAL', 'SWIMMERS')
    """
    plain = "".join(c for c in code.upper() if c.isalnum())
    return _NAMES.get(plain, code.strip())


def view_order(code: str) -> int:
    """Sort key: PA, then AP or another frontal view, then unknown ones, then lateral ones."""
    return _ORDER.get(view_name(code), _UNKNOWN)


def is_frontal(code: str) -> bool:
    """Whether a view is known to be frontal."""
    return view_name(code) in ("PA", "AP", "FRONTAL")


def views_of(study: Study) -> tuple[str, ...]:
    """The view of each image of `study`; where only the study has one it is the first image's."""
    listed = study.labels.get(IMAGE_VIEWS)
    if isinstance(listed, Sequence) and not isinstance(listed, str) and len(listed) == len(study.images):
        return tuple(str(view or "") for view in listed)
    return tuple(study.view if i == 0 else "" for i in range(len(study.images)))


def with_images(study: Study, positions: Sequence[int]) -> Study:
    """`study` with its images at `positions` only; the view is that of the first one left."""
    views = views_of(study)
    kept = tuple(views[i] for i in positions)
    labels = dict(study.labels)
    if IMAGE_VIEWS in labels:
        labels[IMAGE_VIEWS] = list(kept)
    images = tuple(study.images[i] for i in positions)
    return replace(study, images=images, view=kept[0] if kept else "", labels=labels)


def frontal_first(study: Study) -> Study:
    """`study` with its images in the order of `view_order`, equal ones as they were."""
    views = views_of(study)
    order = sorted(range(len(views)), key=lambda i: view_order(views[i]))
    return study if order == list(range(len(views))) else with_images(study, order)


def choose_views(studies: StudyTable, view: View) -> tuple[StudyTable, tuple[Reject, ...]]:
    """`studies` with their images of that view; a reject for each that has images and none of it.

    `frontal` and `lateral` keep what is known to be so; `all` keeps every image.
    """
    if view == "all":
        return studies, ()
    rejects: list[Reject] = []

    def kept(study: Study) -> list[int] | None:
        views = views_of(study)
        wanted = [i for i, code in enumerate(views) if _shows(code, view)]
        if wanted or not views:
            return wanted
        there = ", ".join(dict.fromkeys(view_name(code) or "unknown" for code in views))
        rejects.append(Reject(study.study_id, "", f"no {view} image (views: {there})"))
        return None

    return select_images(studies, map(kept, studies)), tuple(rejects)


def _shows(code: str, view: View) -> bool:
    return is_frontal(code) if view == "frontal" else view_name(code) == "LATERAL"


def select_images(studies: StudyTable, positions: Iterable[Sequence[int] | None]) -> StudyTable:
    """`studies` with their images at `positions` only; those for which it is None are left out.

    The view is that of the first image left.
    """
    changed: dict[int, Study] = {}
    kept = np.ones(len(studies), bool)
    for row, (study, wanted) in enumerate(zip(studies, positions, strict=True)):
        if wanted is None:
            kept[row] = False
        elif len(wanted) < len(study.images):
            changed[row] = with_images(study, wanted)
    if changed:
        for column in [name for name in ("images", "view", IMAGE_VIEWS) if name in studies.table.column_names]:
            values = studies.table[column].to_pylist()
            for row, study in changed.items():
                new = study.labels[IMAGE_VIEWS] if column == IMAGE_VIEWS else getattr(study, column)
                values[row] = list(new) if isinstance(new, tuple) else new
            studies = studies.replaced(column, pa.chunked_array([pa.array(values, studies.table[column].type)]))
    return studies if kept.all() else studies.select(kept)
