"""Studies into rows of an index: images and reports embedded, findings as facets, thumbnails."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from medtrim.data import fit_square, load_image
from medtrim.data.views import views_of
from medtrim.entities.tokens import sentence_bounds
from medtrim.errors import ImageError
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import facets
from medtrim.search.store import index_schema
from medtrim.types import Annotation, Contradictions, Reject, Study
from medtrim.types.tables import Progress, annotations_to_table

BATCH = 64
Picture = NDArray[np.uint8]


class StudyRows:
    """Turns studies into record batches, one row an image, and keeps count of what went in and what did not.

    Args:
        first_row: number of the first row.
        columns: further columns of the studies table that are kept; `date_column` is the one with the date.
        thumbnail: side of the stored picture in pixels; 0 stores none.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        annotations: Mapping[str, Annotation],
        *,
        root: Path,
        thumbnail: int,
        contradictions: Contradictions,
        columns: Sequence[str],
        date_column: str,
        first_row: int = 0,
    ) -> None:
        self.encoder, self.annotations, self.root, self.side = encoder, annotations, root, thumbnail
        self.contradictions, self.columns, self.date_column = contradictions, tuple(columns), date_column
        self.schema = index_schema(encoder.dimension, len(self.columns))
        self.next_row = first_row
        self.rejects: list[Reject] = []

    def batches(self, studies: Sequence[Study], progress: Progress) -> Iterator[tuple[list[str], pa.RecordBatch]]:
        """The ids of up to `BATCH` studies and their rows; a study without a readable image is rejected."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for start in range(0, len(studies), BATCH):
                block = studies[start : start + BATCH]
                kept: list[tuple[Study, list[tuple[int, Picture]]]] = []
                for study, (pictures, rejects) in zip(block, pool.map(self._load, block), strict=True):
                    self.rejects += rejects
                    if pictures:
                        kept.append((study, pictures))
                if kept:
                    yield [study.study_id for study, _ in kept], self._batch(kept)
                progress(min(start + BATCH, len(studies)), len(studies))

    def _load(self, study: Study) -> tuple[list[tuple[int, Picture]], list[Reject]]:
        """The readable images with their positions, and a reject for each that is not."""
        if not study.images:
            return [], [Reject(study.study_id, "", "study has no image")]
        pictures: list[tuple[int, Picture]] = []
        rejects = []
        for position, image in enumerate(study.images):
            try:
                pictures.append((position, load_image(self.root / image, study_id=study.study_id)))
            except ImageError as error:
                rejects.append(Reject(study.study_id, Path(image).name, error.reason))
        return pictures, rejects

    def _batch(self, kept: list[tuple[Study, list[tuple[int, Picture]]]]) -> pa.RecordBatch:
        rows = [
            (study, number, position, picture)
            for study, found in kept
            for number, (position, picture) in enumerate(found)
        ]
        studies = [study for study, _, _, _ in rows]
        annotations = [self.annotations[s.study_id] for s in studies]
        read = [a.read and bool(s.report) for s, a in zip(studies, annotations, strict=True)]
        images = np.concatenate(
            [self.encoder.images([r[3] for r in rows[i : i + BATCH]]) for i in range(0, len(rows), BATCH)]
        )
        marks = [
            facets(a.findings, read=known, contradictions=self.contradictions)
            for a, known in zip(annotations, read, strict=True)
        ]
        views = [views_of(s) for s in studies]
        shown = [_jpeg(picture, self.side) if self.side else None for _, _, _, picture in rows]
        strings = pa.list_(pa.string())
        columns = {
            "row": pa.array(range(self.next_row, self.next_row + len(rows)), type=pa.int64()),
            "study_id": pa.array([s.study_id for s in studies]),
            "patient_id": pa.array([s.patient_id for s in studies]),
            "position": pa.array([number for _, number, _, _ in rows], type=pa.int32()),
            "text_row": pa.array([number == 0 and bool(s.report) for s, number, _, _ in rows]),
            "image": _vectors(images),
            "text": _vectors(self._texts(kept, images)),
            "read": pa.array(read),
            "findings": annotations_to_table(annotations)["findings"].combine_chunks(),
            "facets": pa.array(marks, type=strings),
            "report_findings": pa.array([s.findings for s in studies]),
            "report_impression": pa.array([s.impression for s in studies]),
            "view": pa.array([v[position] for v, (_, _, position, _) in zip(views, rows, strict=True)]),
            "views": pa.array([list(v) for v in views], type=strings),
            "date": pa.array([_text(s.labels.get(self.date_column)) for s in studies]),
            "split": pa.array([s.split for s in studies]),
            "image_files": pa.array(
                [[str((self.root / i).absolute()) for i in s.images] for s in studies], type=strings
            ),
            "thumbnail": pa.array(shown, type=pa.binary()),
            "has_thumbnail": pa.array([t is not None for t in shown]),
        }
        for i, name in enumerate(self.columns):
            columns[f"column_{i}"] = pa.array([_text(s.labels.get(name)) for s in studies])
        self.next_row += len(rows)
        return pa.RecordBatch.from_arrays([columns[f.name] for f in self.schema], schema=self.schema)

    def _texts(
        self, kept: list[tuple[Study, list[tuple[int, Picture]]]], images: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """A vector for each row's report. Without a report the image's stands in, and `text_row` keeps it out."""
        written = [study for study, _ in kept if study.report]
        vectors = iter(
            self.encoder.texts([findings_first(s, self.annotations[s.study_id], self.encoder) for s in written])
            if written
            else ()
        )
        texts = images.copy()
        row = 0
        for study, pictures in kept:
            if study.report:
                texts[row : row + len(pictures)] = next(vectors)
            row += len(pictures)
        return texts


class RowCounts:
    """How many studies and reports there are among some rows, and how many studies have each value."""

    def __init__(self) -> None:
        self.studies = self.text_rows = self.most_images = self.rows = 0
        self.counts: dict[str, Counter[str]] = {"disease": Counter(), "view": Counter(), "read": Counter()}


def count_rows(table: pa.Table, columns: Sequence[str]) -> RowCounts:
    """The counts of whole studies: each study's rows must be all in or all out of `table`."""
    found = RowCounts()
    names = [f"column_{i}" for i in range(len(columns))]
    rows = table.select(["position", "text_row", "facets", "view", "read", *names]).to_pylist()
    found.rows = len(rows)
    for row in rows:
        found.most_images = max(found.most_images, row["position"] + 1)
        found.text_rows += row["text_row"]
        if row["view"]:
            found.counts["view"][row["view"]] += 1
        if row["position"]:
            continue
        found.studies += 1
        found.counts["read"][str(row["read"]).lower()] += 1
        found.counts["disease"].update(mark for mark in row["facets"] if "|" not in mark)
        for name, label in zip(names, columns, strict=True):
            if row[name]:
                found.counts.setdefault(f"column {label}", Counter())[row[name]] += 1
    return found


def findings_first(study: Study, annotation: Annotation, encoder: QueryEncoder) -> str:
    """The report as the encoder reads it; where it is too long, sentences that report a finding come first."""
    report = study.report
    if not encoder.is_cut(report):
        return report
    sections = {"findings": study.findings, "impression": study.impression}
    spans = [
        (m.section, m.start)
        for f in annotation.findings
        if f.assertion != "absent"
        for m in f.mentions
        if m.role == "disease"
    ]
    return " ".join(arrange(sections, spans))


def arrange(sections: Mapping[str, str], spans: Sequence[tuple[str, int]]) -> list[str]:
    """The sentences of `sections`, each once: first those in which a span (section, start) begins."""
    first: list[str] = []
    later: list[str] = []
    for name, text in sections.items():
        for start, end in sentence_bounds(text):
            said = any(section == name and start <= at < end for section, at in spans)
            (first if said else later).append(text[start:end])
    return list(dict.fromkeys(first + later))


def _vectors(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _jpeg(picture: Picture, side: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(fit_square(picture, side)).save(stream, "JPEG", quality=85)
    return stream.getvalue()
