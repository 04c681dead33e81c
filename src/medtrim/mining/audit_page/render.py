"""Choose triplets to show, collect what the page needs of their studies, and put it into the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Integer

from medtrim.mining.audit import Audit, AuditInput
from medtrim.mining.conflicts import ConflictFinder
from medtrim.types import Annotation, Study

Thumbnail = Callable[[Study], bytes | None]
"""A small JPEG of a study's first image, or None where there is none to show."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What the page shows.

    Args:
        triplets: at most so many triplets to browse.
        seed: of their choice.
        title: heading of the page.
    """

    triplets: int = 300
    seed: int = 0
    title: str = "Mined triplets"


def choose_triplets(data: AuditInput, audit: Audit, options: PageOptions) -> Integer[np.ndarray, " chosen"]:
    """Rows of the triplets to show: up to a fifth doubtful ones, the others evenly from each kind of negative."""
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(data.indices))
    doubtful = np.asarray(audit.unread | audit.near_identical)[order]
    chosen = order[doubtful][: options.triplets // 5].tolist()
    kinds = np.array(data.kind)[order]
    queues = [order[(kinds == kind) & ~doubtful].tolist() for kind in sorted(set(data.kind))]
    while len(chosen) < options.triplets and any(queues):
        chosen += [queue.pop() for queue in queues if queue]
    return np.array(chosen[: options.triplets], np.int64)


def render_page(
    data: AuditInput,
    audit: Audit,
    rows: Integer[np.ndarray, " chosen"],
    *,
    annotations: Mapping[str, Annotation],
    studies: Mapping[str, Study] | None = None,
    thumbnail: Thumbnail | None = None,
    options: PageOptions | None = None,
) -> str:
    """The page: the figures, and the triplets `rows` with annotations, reports and images where given.

    The page holds report text and study ids, no patient ids and no paths. It loads nothing from anywhere.
    """
    options = options or PageOptions()
    shown = np.unique(data.indices[rows])
    place = {int(study): i for i, study in enumerate(shown)}
    ids = data.corpus.encoded.study_ids
    content = {
        "title": options.title,
        "figures": audit.figures,
        "triplets": _triplets(data, audit, rows, place),
        "studies": [_study(ids[i], annotations, studies or {}, thumbnail) for i in shown],
        "has_reports": studies is not None,
    }
    # `<` would end the script element early if a report held "</script>".
    embedded = json.dumps(content, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
    page = _asset("page.html")
    for name, text in (("STYLE", _asset("page.css")), ("SCRIPT", _asset("page.js")), ("DATA", embedded)):
        head, _, tail = page.partition(f"<!--{name}-->")
        page = head + text + tail
    return page


def _triplets(data: AuditInput, audit: Audit, rows: np.ndarray, place: Mapping[int, int]) -> list[dict[str, Any]]:
    encoded, corpus = data.corpus.encoded, data.corpus
    distinct = encoded.inverse[data.indices[rows]]
    conflicts = {
        axis: ConflictFinder(encoded, corpus.contradictions, axes=[axis]).pairs(distinct[:, 0], distinct[:, 2])
        for axis in corpus.contradictions.axes
    }
    return [
        {
            "studies": [place[int(study)] for study in data.indices[row]],
            "positive_score": float(data.positive_score[row]),
            "negative_score": float(data.negative_score[row]),
            "kind": data.kind[row],
            "conflicts": [axis for axis, found in conflicts.items() if found[i]],
            "doubts": _doubts(data, audit, row),
        }
        for i, row in enumerate(rows.tolist())
    ]


def _doubts(data: AuditInput, audit: Audit, row: int) -> list[str]:
    doubts = (
        ("the negative's report gave no finding at all", audit.unread[row]),
        ("the reports of anchor and negative are nearly identical", audit.near_identical[row]),
        ("the negative scores as high as the positive", data.negative_score[row] >= data.positive_score[row]),
    )
    return [text for text, found in doubts if found]


def _study(
    study_id: str, annotations: Mapping[str, Annotation], studies: Mapping[str, Study], thumbnail: Thumbnail | None
) -> dict[str, Any]:
    annotation, study = annotations[study_id], studies.get(study_id)
    image = thumbnail(study) if thumbnail and study else None
    return {
        "id": study_id,
        "sections": {"findings": study.findings, "impression": study.impression} if study else {},
        "image": "data:image/jpeg;base64," + base64.b64encode(image).decode() if image else None,
        "findings": [
            {
                "disease": f.disease,
                "assertion": f.assertion,
                "descriptors": [*f.adjectives, *f.directions],
                "mentions": [[m.section, m.start, m.end, m.role] for m in f.mentions],
            }
            for f in annotation.findings
        ],
    }


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
