"""Building and changing an index: build, add, update, delete, compact. One writer at a time; readers never wait.

Rows are written in batches, and after each some what is there is published by replacing `index.json` in one step. A
killed run leaves what it published, and rows beyond that are taken back by the next writer.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from medtrim.entities import Ontology, load_ontology
from medtrim.errors import ConfigError, TableError
from medtrim.models import load_checkpoint
from medtrim.models.names import content_mark
from medtrim.search.ann import index_keys, index_vectors
from medtrim.search.calibrate import measure_noise
from medtrim.search.encoder import QueryEncoder
from medtrim.search.filters import quoted
from medtrim.search.ingest import StudyRows, count_rows, first_vectors
from medtrim.search.readout import calibrate
from medtrim.search.store import FACTS_NAME, FORMAT, MODEL_NAME, TABLE_NAME, index_schema, local_folder, read_facts
from medtrim.types import Annotation, Contradictions, Reject, Study, medtrim_version
from medtrim.types.annotation_table import AnnotationTable
from medtrim.types.jsonfile import write_json
from medtrim.types.outputs import sole_writer
from medtrim.types.processes import Engine
from medtrim.types.tables import Progress, check_unique, no_progress

BATCHES = 16
"""Batches that are written together, as one file of the table, and by `add` published."""

ONTOLOGY_NAME = "ontology.json"


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """What became of the studies.

    Args:
        studies: how many went in; `present` were there already, `removed` went out.
        rejects: one for each image, or study without an image, that did not go in.
        ann: what was measured of the approximate index, where one was built.
    """

    folder: Path
    studies: int
    rejects: tuple[Reject, ...] = ()
    present: int = 0
    removed: int = 0
    ann: dict[str, Any] | None = None


def build_index(
    checkpoint: Path | str,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    out: Path | str,
    *,
    root: Path | str,
    thumbnail: int = 256,
    copy_model: bool = True,
    ontology: Ontology | None = None,
    columns: Sequence[str] = (),
    date_column: str = "",
    device: str = "cpu",
    engine: Engine = Engine.process,
    workers: int = 1,
    progress: Progress = no_progress,
) -> IndexBuild:
    """Embed `studies` with `checkpoint` and write a searchable index to the folder `out`.

    It appears whole or not at all; an index that is there answers until the new one takes its place. A study
    without a readable image is rejected; one without a report is searchable by its image. Reports and thumbnails go
    into the index: it is readable by its owner alone (0700, 0600).

    Args:
        annotations: one for each study, in any order.
        root: folder that relative image paths start from.
        thumbnail: side of the stored picture in pixels; 0 stores none.
        copy_model: put a copy of the checkpoint into the index, so that it needs nothing else; otherwise the
            checkpoint must stay where it is.
        ontology: what made the annotations; it reads queries too. The default ontology where None.
        columns: further columns of the studies table to filter and show; `date_column` is the one with ISO dates.
        engine: `Engine.ray` embeds on Ray Data, whose machines must all see the images.
        workers: Ray actors.

    Raises:
        TableError: a study has no annotation, an id repeats, or `out` holds something that is no index.
        ModelError: the checkpoint cannot be loaded.
        ConfigError: another process writes this index, or an option is out of range.
    """
    if thumbnail < 0:
        raise ConfigError(f"thumbnail must be 0 or a side in pixels, not {thumbnail}")
    out, checkpoint, ontology = local_folder(out), Path(checkpoint), ontology or load_ontology()
    by_id = _annotations_of(studies, annotations)
    with sole_writer(out):
        _check_folder(out)
        encoder = QueryEncoder(load_checkpoint(checkpoint), device=device)
        was_there = (out / FACTS_NAME).exists()
        number = _generation(read_facts(out)["table"]) + 1 if was_there else 1
        if not was_there:
            shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        out.chmod(0o700)
        facts = first_facts(
            number, checkpoint, encoder.dimension, ontology, columns=columns, date_column=date_column
        )
        facts["thumbnail"] = thumbnail
        if copy_model:
            facts["model"] = f"{MODEL_NAME}-{number}"
        try:
            table = lancedb.connect(out).create_table(
                facts["table"], schema=index_schema(encoder.dimension, len(columns))
            )
            write_json(out / facts["ontology"], dict(ontology.data))
            if copy_model:
                shutil.copytree(checkpoint, out / facts["model"])
            rows = _rows(facts, encoder, by_id, Path(root))
            for _, added in _batches(rows, studies, engine, workers, progress):
                append_rows(facts, table, added, next_row=rows.next_row)
            if not facts["studies"]:
                raise TableError(f"none of the {len(studies)} studies has a readable image: nothing to index")
            finish(facts, table)
            publish(out, facts, table)
        finally:
            _sweep(out)
        return IndexBuild(out, facts["studies"], tuple(rows.rejects), ann=facts["ann"])


def first_facts(
    number: int,
    checkpoint: Path,
    dimension: int,
    ontology: Ontology,
    *,
    columns: Sequence[str] = (),
    date_column: str = "",
) -> dict[str, Any]:
    """What `index.json` says of an empty index, its tables' names ending in `number`."""
    return {
        "format": FORMAT,
        "medtrim": medtrim_version(),
        "table": f"{TABLE_NAME}-{number}",
        "model": str(checkpoint.absolute()),
        "fingerprint": content_mark(str(checkpoint)),
        "ontology": f"{number}-{ONTOLOGY_NAME}",
        "ontology_name": ontology.name,
        "ontology_version": ontology.version,
        "contradictions": {axis: dict(levels) for axis, levels in ontology.contradictions.axes.items()},
        "dimension": dimension,
        "thumbnail": 0,
        "columns": list(columns),
        "date_column": date_column,
        "next_row": 0,
        "studies": 0,
        "rows": 0,
        "text_rows": 0,
        "most_images": 1,
        "counts": {},
        "ann": None,
        "readout": None,
    }


def add_studies(
    index: Path | str,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    *,
    root: Path | str,
    replace: bool = False,
    device: str = "cpu",
    engine: Engine = Engine.process,
    workers: int = 1,
    progress: Progress = no_progress,
) -> IndexBuild:
    """Add `studies` to an index. Those that are in it are passed over, or with `replace` written anew.

    Published after every thousand studies or so: run again after a kill, it goes on where it ended.

    Raises:
        TableError: there is no index, a study has no annotation, or an id repeats.
        ConfigError: another process writes this index, or its model has changed since it was built.
    """
    index = Path(index)
    by_id = _annotations_of(studies, annotations)
    with _opened(index) as (facts, table):
        known = _ids(table)
        wanted = [s for s in studies if replace or s.study_id not in known]
        encoder = QueryEncoder(load_checkpoint(check_model(index, facts)), device=device)
        rows = _rows(facts, encoder, by_id, Path(root))
        added = removed = 0
        for ids, new in _batches(rows, wanted, engine, workers, progress):
            if added:
                publish(index, facts, table)
            removed += _remove(facts, table, [i for i in ids if i in known])
            append_rows(facts, table, new, next_row=rows.next_row)
            added += len(ids)
        if added:
            finish(facts, table)
            publish(index, facts, table)
        present = len(studies) - len(wanted)
        return IndexBuild(index, added, tuple(rows.rejects), present, removed, facts["ann"])


def delete_studies(index: Path | str, study_ids: Sequence[str]) -> IndexBuild:
    """Take studies out of an index: no answer shows them from now on. `compact_index` removes them from the disk.

    Raises:
        TableError: there is no index, or some of the ids are not in it (nothing is deleted then).
        ConfigError: another process writes this index.
    """
    index = Path(index)
    with _opened(index) as (facts, table):
        known = _ids(table)
        unknown = [i for i in study_ids if i not in known]
        if unknown:
            raise TableError(
                f"{len(unknown)} of {len(study_ids)} studies are not in the index, such as {unknown[0]!r}"
            )
        removed = _remove(facts, table, list(dict.fromkeys(study_ids)))
        publish(index, facts, table)
        return IndexBuild(index, 0, removed=removed)


def compact_index(index: Path | str) -> None:
    """Merge the small files of many additions, and remove deleted studies and former versions from the disk.

    Raises:
        TableError: there is no index.
        ConfigError: another process writes this index.
    """
    index = Path(index)
    with _opened(index) as (facts, table):
        table.optimize()
        finish(facts, table)
        publish(index, facts, table)
        # Only now that readers are sent to the new version may the former ones go.
        table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
        if table.version != facts["version"]:
            publish(index, facts, table)


def calibrate_index(
    index: Path | str,
    studies: Sequence[Study],
    annotations: Sequence[Annotation],
    *,
    root: Path | str,
    device: str = "cpu",
) -> dict[str, Any]:
    """Calibrate on `studies` what the index's model reads in pictures, and keep it with the index.

    The studies must be none that the model was trained on, such as its validation split; each is read by its first
    readable image.

    Returns:
        What `readout.calibrate` gives.

    Raises:
        TableError: there is no index, a study has no annotation, or no study has a readable image.
        ConfigError: another process writes this index, or its model has changed since it was built.
    """
    index = Path(index)
    by_id = _annotations_of(studies, annotations)
    with _opened(index) as (facts, table):
        encoder = QueryEncoder(load_checkpoint(check_model(index, facts)), device=device)
        vectors, kept = first_vectors(studies, encoder, Path(root))
        if not kept:
            raise TableError(f"none of the {len(studies)} studies has a readable image: nothing to calibrate on")
        made = calibrate(
            vectors,
            [by_id[s.study_id] for s in kept],
            [s.patient_id for s in kept],
            encoder,
            Contradictions(facts["contradictions"]),
        )
        facts["readout"] = made
        publish(index, facts, table)
        return made


def check_model(index: Path, facts: dict[str, Any]) -> Path:
    """The index's model; a `ConfigError` where it is not the one whose space the vectors live in."""
    model = Path(facts["model"])
    model = model if model.is_absolute() else index / model
    if content_mark(str(model)) != facts["fingerprint"]:
        raise ConfigError(f"the model in {model} is not the one that the index was built with: build it again")
    return model


@contextmanager
def _opened(index: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The facts and the table of an index to be written, as it was published; the lock is held meanwhile."""
    read_facts(index)
    with sole_writer(index):
        facts = read_facts(index)
        _sweep(index)
        table = lancedb.connect(index).open_table(facts["table"])
        if table.version != facts["version"]:  # rows of a killed writer that were never published
            table.checkout(facts["version"])
            table.restore()
        yield facts, table


def _rows(facts: dict[str, Any], encoder: QueryEncoder, by_id: Mapping[str, Annotation], root: Path) -> StudyRows:
    return StudyRows(
        encoder,
        by_id,
        root=root,
        thumbnail=facts["thumbnail"],
        contradictions=Contradictions(facts["contradictions"]),
        columns=facts["columns"],
        date_column=facts["date_column"],
        first_row=facts["next_row"],
    )


def _remove(facts: dict[str, Any], table: Any, ids: list[str]) -> int:
    """Delete studies and take them out of the counts; how many there were."""
    for start in range(0, len(ids), 500):
        where = f"study_id IN ({', '.join(map(quoted, ids[start : start + 500]))})"
        _change(facts, table.search().where(where).limit(table.count_rows()).to_arrow(), -1)
        table.delete(where)
    return len(ids)


def append_rows(facts: dict[str, Any], table: Any, added: pa.Table, *, next_row: int) -> None:
    """Add rows of whole studies to the table and to the counts of the facts."""
    table.add(added)
    facts["next_row"] = next_row
    _change(facts, added, +1)


def _change(facts: dict[str, Any], rows: pa.Table, sign: int) -> None:
    """Add the counts of `rows` to those of the facts, or take them off."""
    change = count_rows(rows, facts["columns"])
    facts["studies"] += sign * change.studies
    facts["rows"] += sign * change.rows
    facts["text_rows"] += sign * change.text_rows
    facts["most_images"] = max(facts["most_images"], change.most_images)
    for name, counted in change.counts.items():
        counts = Counter(facts["counts"].get(name, {}))
        counts.update({value: sign * n for value, n in counted.items()})
        facts["counts"][name] = {value: n for value, n in sorted(counts.items()) if n > 0}


def finish(facts: dict[str, Any], table: Any) -> None:
    """What is measured on the finished vectors."""
    facts["noise"] = measure_noise(table)
    index_keys(table)
    facts["ann"] = index_vectors(table, facts)


def publish(index: Path, facts: dict[str, Any], table: Any) -> None:
    """Make the table as it is now what readers open, by replacing `index.json` in one step."""
    facts["version"] = table.version
    for path in (index, *index.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    write_json(index / FACTS_NAME, facts)
    (index / FACTS_NAME).chmod(0o600)


def _sweep(index: Path) -> None:
    """Remove what a killed build or a replaced index has left: tables, models and ontologies that nothing names."""
    if not index.exists():
        return
    named: set[str] = set()
    if (index / FACTS_NAME).exists():
        facts = read_facts(index)
        named = {f"{facts['table']}.lance", facts["model"], facts["ontology"]}
    for path in index.iterdir():
        if _is_ours(path.name) and path.name not in named:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any(index.iterdir()):
        index.rmdir()


def _is_ours(name: str) -> bool:
    return (
        (name.startswith(f"{TABLE_NAME}-") and name.endswith(".lance"))
        or name.startswith(f"{MODEL_NAME}-")
        or name.endswith(f"-{ONTOLOGY_NAME}")
    )


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it that is no index; what a killed first build has left is ours."""
    if not out.exists() or (out / FACTS_NAME).exists():
        return
    if not all(_is_ours(path.name) for path in out.iterdir()):
        raise TableError(f"{out} is not empty and holds no index; choose another folder")


def _generation(table: str) -> int:
    return int(table.rpartition("-")[2])


def _ids(table: Any) -> set[str]:
    found = table.search().where("position = 0").select(["study_id"]).limit(table.count_rows() + 1).to_arrow()
    return set(found["study_id"].to_pylist())


def _batches(
    rows: StudyRows, studies: Sequence[Study], engine: Engine, workers: int, progress: Progress
) -> Iterator[tuple[list[str], pa.Table]]:
    """Ids of studies and their rows, `BATCHES` batches at a time."""
    found = rows.with_ray(studies, workers, progress) if engine is Engine.ray else rows.batches(studies, progress)
    while some := list(islice(found, BATCHES)):
        yield [study_id for ids, _ in some for study_id in ids], pa.Table.from_batches([batch for _, batch in some])


def _annotations_of(studies: Sequence[Study], annotations: Sequence[Annotation]) -> Mapping[str, Annotation]:
    ids = [s.study_id for s in studies]
    check_unique(ids, table="studies")
    by_id: Mapping[str, Annotation] = (
        annotations.by_id() if isinstance(annotations, AnnotationTable) else {a.study_id: a for a in annotations}
    )
    missing = [study_id for study_id in ids if study_id not in by_id]
    if missing:
        raise TableError(f"{len(missing)} studies have no annotation, the first is {missing[0]!r}")
    return by_id
