"""Views of a chest radiograph: the names in use, which image of a study comes first, and which views are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from medtrim.types import Reject, Study

View = Literal["all", "frontal", "lateral"]
VIEWS: tuple[View, ...] = ("all", "frontal", "lateral")
IMAGE_VIEWS = "image_views"
"""Column of a studies table with the view of each of a study's images."""

# DICOM's View Position (PS3.3 C.8.7.1) and the spellings of public archives.
_NAMES: Mapping[str, str] = {
    "PA": "PA",
    "POSTEROANTERIOR": "PA",
    "AP": "AP",
    "ANTEROPOSTERIOR": "AP",
    "APAXIAL": "AP",
    "APHORIZONTAL": "AP",
    "APKUB": "AP",
    "APLLD": "AP",
    "APRLD": "AP",
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

    >>> view_name("postero_anterior"), view_name("LL"), view_name("SWIMMERS")
    ('PA', 'LATERAL', 'SWIMMERS')
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


def choose_view(study: Study, view: View) -> Study | Reject:
    """`study` with its images of that view; a reject where it has images and none is.

    `frontal` and `lateral` keep what is known to be so; `all` keeps every image.
    """
    if view == "all" or not study.images:
        return study
    views = views_of(study)
    wanted = is_frontal if view == "frontal" else (lambda code: view_name(code) == "LATERAL")
    kept = [i for i, code in enumerate(views) if wanted(code)]
    if kept:
        return study if len(kept) == len(views) else with_images(study, kept)
    there = ", ".join(dict.fromkeys(view_name(code) or "unknown" for code in views))
    return Reject(study.study_id, "", f"no {view} image (views: {there})")
