"""Studies into rows of an index: images and reports embedded, findings as facets, thumbnails."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
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
from medtrim.search.resident import encode_finding
from medtrim.search.store import index_schema
from medtrim.search.studies import IndexedStudy, encode_study
from medtrim.types import Annotation, Contradictions, Reject, Study
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.ray_map import from_bytes, ray_map, to_bytes
from medtrim.types.schemas import REJECTS
from medtrim.types.study_table import StudyTable
from medtrim.types.tables import Progress, annotations_to_table, no_progress, rejects_to_table, studies_to_table

BATCH = 64
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """What an index keeps of a readable image: its position in the study, the model's square, and a JPEG."""

    position: int
    square: Picture
    thumbnail: bytes | None


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
                block = list(studies[start : start + BATCH])
                kept: list[tuple[Study, list[Shown]]] = []
                for study, (pictures, rejects) in zip(block, pool.map(self._load, block), strict=True):
                    self.rejects += rejects
                    if pictures:
                        kept.append((study, pictures))
                if kept:
                    yield [study.study_id for study, _ in kept], self._batch(kept)
                progress(min(start + BATCH, len(studies)), len(studies))

    def with_ray(
        self, studies: Sequence[Study], workers: int, progress: Progress
    ) -> Iterator[tuple[list[str], pa.RecordBatch]]:
        """`batches` on Ray Data, whose machines must all see the images; on GPUs each actor takes one."""
        starts = range(0, len(studies), BATCH)
        blocks = (list(studies[start : start + BATCH]) for start in starts)
        given = (_shipped(block, [self.annotations[s.study_id] for s in block]) for block in blocks)
        made = (self.encoder, self.root.absolute(), self.side, self.contradictions, self.columns, self.date_column)
        gpus = int(self.encoder.device.type == "cuda")
        for start, table in zip(starts, ray_map(given, _RayRows, *made, workers=workers, gpus=gpus), strict=True):
            rows, rejected = (from_bytes(table[name][0].as_py()) for name in ("rows", "rejects"))
            self.rejects += map(Reject, *(rejected[name].to_pylist() for name in REJECTS.names))
            if len(rows):
                numbers = pa.array(range(self.next_row, self.next_row + len(rows)), pa.int64())
                self.next_row += len(rows)
                (batch,) = (
                    rows.set_column(rows.schema.get_field_index("row"), "row", numbers)
                    .cast(self.schema)
                    .combine_chunks()
                    .to_batches()
                )
                yield list(dict.fromkeys(rows["study_id"].to_pylist())), batch
            progress(min(start + BATCH, len(studies)), len(studies))

    def _load(self, study: Study) -> tuple[list[Shown], list[Reject]]:
        """The readable images, none in its full size any more, and a reject for each that is not."""
        if not study.images:
            return [], [Reject(study.study_id, "", "study has no image")]
        pictures: list[Shown] = []
        rejects = []
        for position, image in enumerate(study.images):
            try:
                picture = load_image(self.root / image, study_id=study.study_id)
                thumbnail = _jpeg(picture, self.side) if self.side else None
                pictures.append(Shown(position, self.encoder.square(picture), thumbnail))
            except ImageError as error:
                rejects.append(Reject(study.study_id, Path(image).name, error.reason))
        return pictures, rejects

    def _batch(self, kept: list[tuple[Study, list[Shown]]]) -> pa.RecordBatch:
        rows = [(study, number, shown) for study, found in kept for number, shown in enumerate(found)]
        studies = [study for study, _, _ in rows]
        known = {study.study_id: self.annotations[study.study_id] for study, _ in kept}
        annotations = [known[s.study_id] for s in studies]
        read = [a.read and bool(s.report) for s, a in zip(studies, annotations, strict=True)]
        images = np.concatenate(
            [
                self.encoder.squares([shown.square for _, _, shown in rows[i : i + BATCH]])
                for i in range(0, len(rows), BATCH)
            ]
        )
        marks = [
            facets(a.findings, read=was_read, contradictions=self.contradictions)
            for a, was_read in zip(annotations, read, strict=True)
        ]
        views = [views_of(s) for s in studies]
        strings = pa.list_(pa.string())
        columns = {
            "row": pa.array(range(self.next_row, self.next_row + len(rows)), type=pa.int64()),
            "study_id": pa.array([s.study_id for s in studies]),
            "patient_id": pa.array([s.patient_id for s in studies]),
            "position": pa.array([number for _, number, _ in rows], type=pa.int32()),
            "text_row": pa.array([number == 0 and bool(s.report) for s, number, _ in rows]),
            "image": _vectors(images),
            "text": _vectors(self._texts(kept, known, images)),
            "read": pa.array(read),
            "said": pa.array(
                [list(dict.fromkeys(map(encode_finding, a.findings))) for a in annotations], type=strings
            ),
            "facets": pa.array(marks, type=strings),
            "view": pa.array([v[shown.position] for v, (_, _, shown) in zip(views, rows, strict=True)]),
            "date": pa.array([_text(s.labels.get(self.date_column)) for s in studies]),
            "study": pa.array(
                [
                    encode_study(self._shown(study, known[study.study_id], shown.position, self.next_row + i, said))
                    for i, ((study, _, shown), said) in enumerate(zip(rows, read, strict=True))
                ]
            ),
            "thumbnail": pa.array([shown.thumbnail for _, _, shown in rows], type=pa.binary()),
        }
        for i, name in enumerate(self.columns):
            columns[f"column_{i}"] = pa.array([_text(s.labels.get(name)) for s in studies])
        self.next_row += len(rows)
        return pa.RecordBatch.from_arrays([columns[f.name] for f in self.schema], schema=self.schema)

    def _shown(self, study: Study, annotation: Annotation, position: int, row: int, read: bool) -> IndexedStudy:
        views = views_of(study)
        return IndexedStudy(
            row,
            study.study_id,
            annotation.findings,
            study.findings,
            study.impression,
            self.side > 0,
            patient_id=study.patient_id,
            view=views[position],
            views=tuple(views),
            columns={name: _text(study.labels.get(name)) for name in self.columns},
            split=study.split,
            image_files=tuple(str((self.root / image).absolute()) for image in study.images),
            read=read,
        )

    def _texts(
        self,
        kept: list[tuple[Study, list[Shown]]],
        known: Mapping[str, Annotation],
        images: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """A vector for each row's report. Without a report the image's stands in, and `text_row` keeps it out."""
        written = [study for study, _ in kept if study.report]
        vectors = iter(
            self.encoder.texts([report_as_read(s, known[s.study_id], self.encoder) for s in written])
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


def _shipped(studies: Sequence[Study], annotations: Sequence[Annotation]) -> pa.Table:
    """Studies and their annotations as one row of a table."""
    parts = (studies_to_table(studies), annotations_to_table(annotations))
    return pa.table({name: [to_bytes(part)] for name, part in zip(("studies", "annotations"), parts, strict=True)})


class _RayRows:
    """`StudyRows` in a Ray actor."""

    def __init__(
        self,
        encoder: QueryEncoder,
        root: Path,
        thumbnail: int,
        contradictions: Contradictions,
        columns: Sequence[str],
        date_column: str,
    ) -> None:
        self._rows = StudyRows(
            encoder,
            {},
            root=root,
            thumbnail=thumbnail,
            contradictions=contradictions,
            columns=columns,
            date_column=date_column,
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        studies, annotations = (from_bytes(table[name][0].as_py()) for name in ("studies", "annotations"))
        self._rows.annotations = AnnotationTable(annotations).by_id()
        self._rows.rejects = []
        made = [batch for _, batch in self._rows.batches(StudyTable(studies), no_progress)]
        parts = (pa.Table.from_batches(made, schema=self._rows.schema), rejects_to_table(self._rows.rejects))
        return pa.table({name: [to_bytes(part)] for name, part in zip(("rows", "rejects"), parts, strict=True)})


def first_vectors(
    studies: Sequence[Study], encoder: QueryEncoder, root: Path
) -> tuple[NDArray[np.float32], list[Study]]:
    """The vectors [N D] of each study's first readable image, and the studies that have one."""
    kept: list[Study] = []
    vectors = [np.empty((0, encoder.dimension), dtype=np.float32)]
    for start in range(0, len(studies), BATCH):
        pictures = []
        for study in studies[start : start + BATCH]:
            for image in study.images:
                with suppress(ImageError):
                    pictures.append(load_image(root / image, study_id=study.study_id))
                    kept.append(study)
                    break
        if pictures:
            vectors.append(encoder.images(pictures))
    return np.concatenate(vectors), kept


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


def report_as_read(study: Study, annotation: Annotation, encoder: QueryEncoder) -> str:
    """The report as the encoder takes it; of one that is too long, sentences that report a finding come first."""
    report = encoder.as_read(study.report, annotation.findings) if annotation.read else study.report
    if report != study.report or not encoder.is_cut(report):
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
