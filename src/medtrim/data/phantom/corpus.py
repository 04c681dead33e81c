"""`make_corpus`: many cases drawn, reported and written as a studies table beside a folder of PNG images."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medtrim.data.phantom.case import Case
from medtrim.data.phantom.draw import draw
from medtrim.data.phantom.png import encode_png
from medtrim.data.phantom.report import write_report
from medtrim.data.phantom.sampling import sample_case, sample_patient
from medtrim.data.phantom.world import load_world
from medtrim.errors import ConfigError
from medtrim.types import Finding, Provenance, Sections
from medtrim.types.outputs import writing
from medtrim.types.processes import end_with_parent
from medtrim.types.tables import Progress, no_progress

SPLITS = (("train", 6.0), ("val", 1.0), ("test", 2.0))
STUDIES_OF_A_PATIENT = (0.72, 0.19, 0.09)
# First words of the spawn keys, so that patients and studies never share a random stream.
PATIENT, STUDY, LAYOUT = 0, 1, 2
CHUNK = 50


@dataclass(frozen=True, slots=True)
class Member:
    """One study's place in a corpus."""

    index: int
    patient: int
    split: str

    @property
    def study_id(self) -> str:
        """Identifier, also the name of the image file."""
        return f"phantom-{self.index:06d}"

    @property
    def patient_id(self) -> str:
        """Identifier that a patient's studies share."""
        return f"patient-{self.patient:06d}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What all studies of a corpus share."""

    seed: int
    size: int
    world: str


@dataclass(frozen=True, slots=True)
class Row:
    """What a worker hands back: all of a study but its pixels, which it has written."""

    view: str
    report: Sections
    truth: tuple[Finding, ...]


def make_corpus(
    n: int,
    out: Path,
    *,
    seed: int = 0,
    size: int = 128,
    world: str = "A",
    workers: int = 1,
    progress: Progress = no_progress,
) -> None:
    """Write `n` drawn studies: `out/studies.parquet` and `out/images/*.png`.

    The table has the columns of a studies table and `truth`, the drawn findings. Everything depends on `n`, `seed`,
    `size` and `world` alone, not on `workers`. The table is written last and at once: a run that was killed
    leaves none, and running again with the same arguments gives the same bytes.

    Args:
        n: number of studies, 1 or more.
        out: folder, made where needed; a corpus there is replaced.
        seed: 0 or more.
        size: pixels along an edge, 32 to 2048.
        world: the generator's parameters, a name in `worlds.yaml`; what was chosen on A and B may be judged on C.
        workers: processes.
        progress: called with (studies done, n).

    Raises:
        ConfigError: an argument is out of range, or there is no such world.
    """
    load_world(world)
    if n < 1 or seed < 0 or workers < 1 or not 32 <= size <= 2048:
        raise ConfigError(
            f"phantom: n ≥ 1, seed ≥ 0, workers ≥ 1 and 32 ≤ size ≤ 2048 are wanted; "
            f"got n={n}, seed={seed}, workers={workers}, size={size}"
        )
    table = out / "studies.parquet"
    table.unlink(missing_ok=True)
    (out / "images").mkdir(parents=True, exist_ok=True)
    members = plan(n, seed)
    chunks = [members[i : i + CHUNK] for i in range(0, n, CHUNK)]
    rows: list[Row] = []
    progress(0, n)
    for part in _work(chunks, out / "images", Settings(seed, size, world), min(workers, len(chunks))):
        rows += part
        progress(len(rows), n)
    _write_studies(members, rows, table, {"n": n, "size": size, "world": world}, seed)


def plan(n: int, seed: int) -> list[Member]:
    """Which study is whose, and the split of each: whole patients, train:val:test about 6:1:2 by studies."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LAYOUT,)))
    owners: list[int] = []
    patient = 0
    while len(owners) < n:
        count = 1 + int(rng.choice(len(STUDIES_OF_A_PATIENT), p=STUDIES_OF_A_PATIENT))
        owners += [patient] * count
        patient += 1
    owners = owners[:n]
    sizes = np.bincount(owners)
    total = sum(share for _, share in SPLITS)
    split_of: dict[int, str] = {}
    filled = 0
    for owner in rng.permutation(len(sizes)):
        # The split whose interval of [0, 1) holds the middle of this patient's studies.
        middle, edge = (filled + sizes[owner] / 2) / n, 0.0
        for name, share in SPLITS:
            edge += share / total
            if middle < edge or name == SPLITS[-1][0]:
                split_of[int(owner)] = name
                break
        filled += int(sizes[owner])
    return [Member(i, owner, split_of[owner]) for i, owner in enumerate(owners)]


def make_study(
    member: Member, *, seed: int, size: int, world: str = "A"
) -> tuple[Case, Sections, npt.NDArray[np.uint8]]:
    """The case, report and image of one study of a corpus; depends on `seed`, `world` and the member alone."""
    patient = sample_patient(_generator(seed, PATIENT, member.patient), world=world)
    rng = _generator(seed, STUDY, member.index)
    case = sample_case(rng, patient=patient, world=world)
    report = write_report(case, rng)
    return case, report, draw(case, size=size, rng=rng)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _make_chunk(members: list[Member], images: Path, settings: Settings) -> list[Row]:
    rows = []
    for member in members:
        case, report, pixels = make_study(member, seed=settings.seed, size=settings.size, world=settings.world)
        with writing(images):
            (images / f"{member.study_id}.png").write_bytes(encode_png(pixels))
        rows.append(Row(case.technique.view, report, case.truth))
    return rows


def _work(chunks: list[list[Member]], images: Path, settings: Settings, workers: int) -> Iterator[list[Row]]:
    """The chunks' rows in their order; a few chunks a worker are under way at a time."""
    if workers == 1:
        for chunk in chunks:
            yield _make_chunk(chunk, images, settings)
        return
    # Spawned, not forked: the caller may hold threads (torch, Arrow).
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        queue = iter(chunks)
        waiting: list[Future[list[Row]]] = []
        for chunk in islice(queue, 2 * workers):
            waiting.append(pool.submit(_make_chunk, chunk, images, settings))
        while waiting:
            yield waiting.pop(0).result()
            for chunk in islice(queue, 1):
                waiting.append(pool.submit(_make_chunk, chunk, images, settings))


def _write_studies(
    members: list[Member], rows: list[Row], path: Path, config: dict[str, int | str], seed: int
) -> None:
    import pyarrow as pa

    from medtrim.types import schemas
    from medtrim.types.tables import write_table

    columns = {
        "study_id": [m.study_id for m in members],
        "patient_id": [m.patient_id for m in members],
        "images": [[f"images/{m.study_id}.png"] for m in members],
        "view": [r.view for r in rows],
        "findings": [r.report.findings for r in rows],
        "impression": [r.report.impression for r in rows],
        "split": [m.split for m in members],
    }
    arrays = {field.name: pa.array(columns[field.name], type=field.type) for field in schemas.STUDIES}
    truth = [[_finding_row(f) for f in r.truth] for r in rows]
    arrays["truth"] = pa.array(truth, type=pa.list_(schemas.FINDING))
    write_table(pa.table(arrays), path, Provenance(kind="studies", config=config, seed=seed))


def _finding_row(finding: Finding) -> dict[str, object]:
    return {
        "disease": finding.disease,
        "assertion": finding.assertion,
        "adjectives": list(finding.adjectives),
        "directions": list(finding.directions),
        "mentions": [],
    }
