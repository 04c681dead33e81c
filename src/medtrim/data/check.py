"""Which studies of a corpus have images that can be used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from medtrim.data.images import decode, read_source, strict_decoding
from medtrim.data.limits import DEFAULT_LIMITS, ImageLimits
from medtrim.data.views import select_images
from medtrim.errors import ImageError
from medtrim.types import Reject, Study
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import Progress, no_progress, studies_to_table

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """The studies with their usable images only, and a reject for every image or study that fell out."""

    studies: StudyTable
    rejects: tuple[Reject, ...]


def check_images(
    studies: Sequence[Study],
    *,
    root: Path | str,
    limits: ImageLimits = DEFAULT_LIMITS,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> ImageCheck:
    """Decode every image once and drop those that are missing, unreadable or outside `limits`.

    A study keeps its other images; one that has none left, or had none, is dropped. Each drop is a reject.

    Args:
        root: folder that relative image paths start from.
        workers: threads; the number of cores when None.
    """
    table = studies if isinstance(studies, StudyTable) else StudyTable(studies_to_table(studies))
    rejects: list[Reject] = []
    with strict_decoding(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:

        def usable() -> Iterator[list[int] | None]:
            for start in range(0, len(table), _BLOCK):
                block = list(table[start : start + _BLOCK])
                outcomes = pool.map(lambda study: _problems(study, Path(root), limits), block)
                for study, problems in zip(block, outcomes, strict=True):
                    rejects.extend(Reject(study.study_id, Path(i).name, why) for i, why in problems.items())
                    if not study.images:
                        rejects.append(Reject(study.study_id, "", "study has no image"))
                    yield [i for i, image in enumerate(study.images) if image not in problems] or None
                progress(min(start + _BLOCK, len(table)), len(table))

        kept = select_images(table, usable())
    return ImageCheck(kept, tuple(rejects))


def _problems(study: Study, root: Path, limits: ImageLimits) -> dict[str, str]:
    """Image → why it cannot be used, for those of `study` that cannot."""
    problems = {}
    for image in study.images:
        try:
            decode(
                read_source(root / image, study_id=study.study_id, limits=limits),
                study_id=study.study_id,
                limits=limits,
            )
        except ImageError as error:
            problems[image] = error.reason
    return problems
