"""What is in a corpus: counts, views, missing and repeated images, repeated reports, patients, findings, labels."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from medtrim.data.boundary import UnusableError, file_bytes
from medtrim.data.limits import DEFAULT_LIMITS
from medtrim.data.near_reports import LIKE, near_identical
from medtrim.data.views import IMAGE_VIEWS, is_frontal, view_name, views_of
from medtrim.types import Annotation, Study, medtrim_version
from medtrim.types.tables import Progress, atomic_path, no_progress

# Values of a label column that are listed; the others are one row.
MOST_VALUES = 12
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a section: what is counted, how many, and their share of the section's whole where there is one."""

    name: str
    count: int | str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One subject of a description; `caution` says what in it can spoil an experiment, where something does."""

    title: str
    rows: tuple[Row, ...]
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A corpus described, section by section."""

    sections: tuple[Section, ...]

    def section(self, title: str) -> Section:
        """The section of that title."""
        return next(s for s in self.sections if s.title == title)


def describe(
    studies: Sequence[Study],
    *,
    root: Path | str | None = None,
    annotations: Iterable[Annotation] = (),
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Description:
    """Describe a corpus; nothing in the result quotes a report or names a study or patient.

    Args:
        root: folder that relative image paths start from; without it no image file is looked at.
        annotations: findings of the studies, for the section on findings.
        workers: threads that read images; the number of cores when None.
    """
    sections = [_counts(studies), _splits(studies), _views(studies)]
    if root is not None:
        sections.append(_images(studies, Path(root), workers, progress))
    sections.append(_reports(studies))
    findings = [f for a in annotations for f in a.findings]
    if findings:
        counted = Counter((f.disease, f.assertion) for f in findings)
        rows = [
            Row(f"{disease}, {assertion}", n, n / len(findings))
            for (disease, assertion), n in counted.most_common()
        ]
        sections.append(Section("Findings", tuple(rows)))
    sections += _labels(studies)
    return Description(tuple(s for s in sections if s.rows))


def write_description(description: Description, path: Path | str, *, name: str) -> None:
    """Write a description as one HTML page with bars, which loads nothing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(loader=PackageLoader("medtrim.data", "."), autoescape=True, undefined=StrictUndefined)
    page = pages.get_template("describe.html")
    text = page.render(name=name, sections=description.sections, version=medtrim_version())
    with atomic_path(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def _counts(studies: Sequence[Study]) -> Section:
    images = sum(len(s.images) for s in studies)
    patients = {s.patient_id for s in studies if s.patient_id}
    rows = (
        Row("studies", len(studies)),
        Row("patients", len(patients)),
        Row("images", images),
        Row("studies without an image", *_of(sum(not s.images for s in studies), studies)),
        Row("studies without a report", *_of(sum(not s.report for s in studies), studies)),
        Row("studies without a patient id", *_of(sum(not s.patient_id for s in studies), studies)),
    )
    return Section("Counts", rows)


def _splits(studies: Sequence[Study]) -> Section:
    counted = Counter(s.split or "without a split" for s in studies)
    crossing = _crossing((s.patient_id, s.split) for s in studies)
    caution = (
        f"{crossing} patient(s) have studies in several splits: a model is tested on patients it has seen"
        if crossing
        else ""
    )
    return Section("Splits", _rows(counted), caution)


def _views(studies: Sequence[Study]) -> Section:
    counted = Counter(view_name(v) or "unknown" for s in studies for v in views_of(s))
    lateral = sum(bool(s.images) and _known_lateral(s) for s in studies)
    caution = (
        f"{lateral} studies have lateral views only; `data import --view frontal` leaves them out"
        if lateral
        else ""
    )
    return Section("Views", _rows(counted), caution)


def _known_lateral(study: Study) -> bool:
    views = views_of(study)
    return all(views) and not any(map(is_frontal, views))


def _images(studies: Sequence[Study], root: Path, workers: int | None, progress: Progress) -> Section:
    """Missing files, and files with the same bytes."""
    places = [(s, image) for s in studies for image in s.images]
    problems: Counter[str] = Counter()
    found: dict[bytes, list[Study]] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for start in range(0, len(places), _BLOCK):
            block = places[start : start + _BLOCK]
            for (study, _), seen in zip(
                block, pool.map(lambda place: _digest(root / place[1]), block), strict=True
            ):
                if isinstance(seen, bytes):
                    found.setdefault(seen, []).append(study)
                else:
                    problems[seen] += 1
            progress(min(start + _BLOCK, len(places)), len(places))
    repeated = [group for group in found.values() if len(group) > 1]
    rows = [Row("readable", *_of(sum(map(len, found.values())), places))]
    rows += [Row(reason, *_of(n, places)) for reason, n in problems.most_common()]
    rows.append(Row("images that repeat another, byte for byte", *_of(sum(len(g) - 1 for g in repeated), places)))
    others = sum(len({s.patient_id for s in group}) > 1 for group in repeated)
    rows.append(Row("repeated images under several patients", others))
    leaks = _crossing((key, s.split) for key, group in enumerate(repeated) for s in group)
    caution = f"{leaks} image(s) are in several splits" if leaks else ""
    return Section("Image files", tuple(rows), caution)


def _digest(path: Path) -> bytes | str:
    try:
        return blake2b(
            file_bytes(path, largest=DEFAULT_LIMITS.max_bytes, what="image file"), digest_size=16
        ).digest()
    except UnusableError as error:
        return re.sub(r"[\d,]+", "…", str(error))


def _reports(studies: Sequence[Study]) -> Section:
    """Lengths; reports of the same words, whatever their case, numbers and blanked words; near-identical ones."""
    lengths: list[int] = []
    findings = impressions = 0
    groups: dict[bytes, list[str]] = {}
    distinct: list[list[str]] = []
    for study in studies:
        if report := study.report:
            lengths.append(len(report.split()))
            findings += bool(study.findings)
            impressions += bool(study.impression)
            words = _plain_words(report)
            key = blake2b(" ".join(words).encode(), digest_size=12).digest()
            if key not in groups:
                groups[key] = []
                distinct.append(words)
            groups[key].append(study.split)
    if not lengths:
        return Section("Reports", ())
    repeated = [splits for splits in groups.values() if len(splits) > 1]
    alike: dict[int, list[str]] = {}
    for number, splits in zip(near_identical(distinct).tolist(), groups.values(), strict=True):
        alike.setdefault(number, []).extend(splits)
    near = [splits for splits in alike.values() if len(splits) > 1]
    leaks = _crossing((key, split) for key, splits in enumerate(near) for split in splits)
    whole = len(lengths)
    rows = (
        Row("words, median", int(statistics.median(lengths))),
        Row("words, shortest and longest", f"{min(lengths)} and {max(lengths)}"),
        Row("with a findings section", findings, findings / whole),
        Row("with an impression section", impressions, impressions / whole),
        Row("the same words as another study's", sum(map(len, repeated)), sum(map(len, repeated)) / whole),
        Row("different texts among these", len(repeated)),
        Row("studies that share the most frequent one", max(map(len, repeated), default=0)),
        Row(f"near-identical to another study's ({LIKE:.0%} of word triples)", sum(map(len, near)),
            sum(map(len, near)) / whole),
        Row("groups of near-identical ones", len(near)),
    )  # fmt: skip
    caution = (
        f"{leaks} of these groups are in several splits: retrieval by text cannot tell them apart" if leaks else ""
    )
    return Section("Reports", rows, caution)


def _plain_words(report: str) -> list[str]:
    """A report's words: small letters, numbers as 0, words blanked for privacy as one mark."""
    text = re.sub(r"\d+", "0", re.sub(r"\b[xX]{2,}\b|_{2,}|\[[^\]]*\]", " # ", report.lower()))
    return re.findall(r"\w+|#", text)


def _labels(studies: Sequence[Study]) -> list[Section]:
    names = dict.fromkeys(name for s in studies for name in s.labels if name != IMAGE_VIEWS)
    return [_label(name, [s.labels.get(name) for s in studies]) for name in names]


def _label(name: str, values: Sequence[object]) -> Section:
    """The most frequent values of a label column; of a list each element counts, of findings each disease."""
    filled = [v for v in values if v is not None and v != ""]
    counted: Counter[str] = Counter()
    for value in filled:
        counted.update(_words(value))
    rows = [Row("filled", *_of(len(filled), values))]
    numbers = [float(v) for v in filled if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(filled) and len(counted) > MOST_VALUES:
        rows.append(
            Row("smallest, median, largest", f"{min(numbers):g}, {statistics.median(numbers):g}, {max(numbers):g}")
        )
    elif len(counted) > MOST_VALUES and counted.most_common(1)[0][1] == 1:
        rows.append(Row("different values", len(counted)))  # such as dates or ids, which are not shown
    else:
        rows += [Row(word, *_of(n, filled)) for word, n in counted.most_common(MOST_VALUES)]
        rest = counted.total() - sum(n for _, n in counted.most_common(MOST_VALUES))
        rows += [Row(f"{len(counted) - MOST_VALUES} other values", rest)] if rest else []
    return Section(f"Label {name}", tuple(rows))


def _words(value: object) -> list[str]:
    if not isinstance(value, list):
        return [f"{value:g}" if isinstance(value, float) else str(value)[:60]]
    if all(isinstance(item, Mapping) and "disease" in item for item in value):
        return [f"{item['disease']}, {item.get('assertion', 'present')}" for item in value]
    return [str(item)[:60] for item in value]


def _crossing(pairs: Iterable[tuple[Hashable, str]]) -> int:
    """How many keys occur in several splits."""
    splits: dict[Hashable, set[str]] = {}
    for key, split in pairs:
        if key != "" and split:
            splits.setdefault(key, set()).add(split)
    return sum(len(found) > 1 for found in splits.values())


def _rows(counted: Counter[str]) -> tuple[Row, ...]:
    return tuple(Row(name, n, n / counted.total()) for name, n in counted.most_common())


def _of(count: int, whole: Sequence[object]) -> tuple[int, float | None]:
    return count, count / len(whole) if whole else None
