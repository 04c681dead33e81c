"""What goes over the wire: the server's requests and answers.

Requests are checked models; the parts of an answer, some six hundred, are plain records, which are made in a tenth
of the time.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from medtrim.errors import ImageError
from medtrim.evaluation.agreement import FindingMark
from medtrim.search.evidence import cut_report
from medtrim.search.filters import Filters, Said
from medtrim.search.pictures import decode_upload
from medtrim.search.query import MAX_OFFSET, MAX_RESULTS, FindingQuery, Mode, Query, Wanted
from medtrim.search.readout import Reading
from medtrim.search.searcher import Hit, SearchResult
from medtrim.search.store import Side, StudyIndex, values_of
from medtrim.types import Finding

MAX_TEXT = 4000
"""Longest query text in characters; a long report has about 2,000."""

TRAIN = "train"
MAX_CHIPS, MAX_WORDS = 50, 20

Word = Annotated[str, Field(max_length=100)]
Words = Annotated[list[Word], Field(max_length=MAX_WORDS)]


class Strict(BaseModel):
    """A request's part: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Chip(Strict):
    """A finding that is asked for; empty fields ask for anything."""

    disease: Word = ""
    side: Words = []
    zone: Words = []
    severity: Words = []
    acuity: Words = []
    change: Words = []
    other: Words = []
    denied: bool = False
    uncertain: bool = False

    @classmethod
    def of(cls, query: FindingQuery) -> Chip:
        """The wire form of a finding asked for."""
        return cls(
            disease=query.disease,
            denied=query.denied,
            uncertain=query.uncertain,
            **{axis: list(getattr(query, axis)) for axis in AXES},
        )

    def query(self) -> FindingQuery:
        """The finding asked for."""
        axes = {axis: tuple(getattr(self, axis)) for axis in AXES}
        return FindingQuery(disease=self.disease, denied=self.denied, uncertain=self.uncertain, **axes)


AXES = ("side", "zone", "severity", "acuity", "change", "other")
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")]
NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
Chips = Annotated[list[Chip], Field(max_length=MAX_CHIPS)]


class Options(Strict):
    """What every kind of query may ask for."""

    against: Side = "image"
    mode: Mode = "both"
    one_per_patient: bool = False
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)
    k: int = Field(default=12, ge=1, le=MAX_RESULTS)
    disease: Word = ""
    side: Literal["", "left", "right"] = ""
    said: Said = ""
    views: Words = []
    patient_id: Annotated[str, Field(max_length=200)] = ""
    since: Day = ""
    until: Day = ""
    reports: Literal["", "read", "not read"] = ""

    def filters(self, columns: Mapping[str, str]) -> Filters:
        """What every hit fulfils; `columns` are values of further columns."""
        return Filters(
            disease=self.disease,
            side=self.side,
            said=self.said,
            views=tuple(self.views),
            patient_id=self.patient_id,
            since=self.since,
            until=self.until,
            columns=columns,
            read=None if not self.reports else self.reports == "read",
        )

    def common(self, columns: Mapping[str, str] = NO_COLUMNS) -> dict[str, Any]:
        """These options as arguments of a `Query`."""
        return {
            "against": self.against,
            "mode": self.mode,
            "one_per_patient": self.one_per_patient,
            "offset": self.offset,
            "k": self.k,
            "filters": self.filters(columns),
        }


class SearchRequest(Options):
    """Studies like words, a picture or a study of the index; words go with either.

    `image` is a file (PNG, JPEG, TIFF, DICOM) in base64. `must`, `must_not` and `like` replace what would be read
    from the words.
    """

    text: str = Field(default="", max_length=MAX_TEXT)
    image: str = ""
    study_id: str = Field(default="", max_length=200)
    using: Side = "image"
    image_weight: float = Field(default=0.5, ge=0, le=1)
    must: Chips | None = None
    must_not: Chips | None = None
    like: Chips | None = None
    columns: Annotated[dict[Word, Annotated[str, Field(max_length=200)]], Field(max_length=MAX_WORDS)] = {}

    def query(self, *, max_bytes: int) -> Query:
        """The question to the index.

        Raises:
            ImageError: the image cannot be decoded.
        """
        try:
            content = base64.b64decode(self.image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ImageError("upload", "the image is no base64") from error
        return Query(
            text=self.text,
            image=decode_upload(content, max_bytes=max_bytes) if content else None,
            study_id=self.study_id,
            using=self.using,
            image_weight=self.image_weight,
            must=_asked(self.must),
            must_not=_asked(self.must_not),
            like=_asked(self.like),
            **self.common(self.columns),
        )


@dataclass(frozen=True, slots=True)
class ChipsJson:
    """How a query was understood."""

    must: list[Chip]
    must_not: list[Chip]
    like: list[Chip]

    @classmethod
    def of(cls, wanted: Wanted) -> ChipsJson:
        """The wire form of the findings asked for."""
        return cls(
            must=[Chip.of(q) for q in wanted.must],
            must_not=[Chip.of(q) for q in wanted.must_not],
            like=[Chip.of(q) for q in wanted.like],
        )


@dataclass(frozen=True, slots=True)
class DescriptorJson:
    """A descriptor and how it stands to the query."""

    text: str
    verdict: str


@dataclass(frozen=True, slots=True)
class MarkJson:
    """A finding and how it stands to the query."""

    disease: str
    uncertain: bool
    verdict: str
    conflicts: list[str]
    descriptors: list[DescriptorJson]

    @classmethod
    def of(cls, mark: FindingMark) -> MarkJson:
        """The wire form of a mark."""
        return cls(
            disease=mark.disease,
            uncertain=mark.uncertain,
            verdict=mark.relation,
            conflicts=list(mark.conflicts),
            descriptors=[DescriptorJson(text=d.text, verdict=d.relation) for d in mark.descriptors],
        )


@dataclass(frozen=True, slots=True)
class FindingJson:
    """A finding of a report in words, and whether it is present, uncertain or absent."""

    words: str
    assertion: str


@dataclass(frozen=True, slots=True)
class PartJson:
    """A stretch of a report and the findings read from it, as positions in the hit's `read_findings`."""

    text: str
    findings: list[int]


@dataclass(frozen=True, slots=True)
class SectionJson:
    """A section of a report, cut where evidence begins or ends."""

    title: str
    parts: list[PartJson]


@dataclass(frozen=True, slots=True)
class HitJson:
    """A found study. `read` is false where nothing is recognised in its report: that is not "no finding"."""

    study_id: str
    row: int
    patient_id: str
    view: str
    views: list[str]
    in_training: bool
    columns: dict[str, str]
    score: float
    similarity: float
    match: float | None
    fulfils: bool
    read: bool
    marks: list[MarkJson]
    missing: list[str]
    conflicts: list[str]
    read_findings: list[FindingJson]
    report: list[SectionJson]
    has_image: bool

    @classmethod
    def of(cls, hit: Hit) -> HitJson:
        """The wire form of a hit."""
        study = hit.study
        sections = (("findings", study.report_findings), ("impression", study.report_impression))
        return cls(
            study_id=study.study_id,
            row=study.row,
            patient_id=study.patient_id,
            view=study.view,
            views=list(study.views) or [study.view] * len(study.image_files),
            in_training=study.split == TRAIN,
            columns=dict(study.columns),
            score=round(hit.score, 6),
            similarity=round(hit.similarity, 6),
            match=None if hit.match is None else round(hit.match, 6),
            fulfils=hit.fulfils,
            read=study.read,
            marks=[MarkJson.of(m) for m in hit.agreement.marks],
            missing=list(hit.agreement.missing),
            conflicts=list(hit.agreement.conflicts),
            read_findings=[FindingJson(words=_words(f), assertion=f.assertion) for f in study.findings],
            report=[_section(name, text, study.findings) for name, text in sections if text],
            has_image=study.has_thumbnail,
        )


@dataclass(frozen=True, slots=True)
class NoticeJson:
    """Something the reader of the hits should know."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadingJson:
    """What the model reads of a disease in the uploaded picture; `probability` is null where never validated.

    `side` and `severity` are the probabilities of their ends, given that the disease is there.
    """

    disease: str
    probability: float | None
    side: dict[str, float]
    severity: dict[str, float]

    @classmethod
    def of(cls, reading: Reading) -> ReadingJson:
        """The wire form of a reading."""
        ends = [{end: round(p, 4) for end, p in axis.items()} for axis in (reading.side, reading.severity)]
        probability = None if reading.probability is None else round(reading.probability, 4)
        return cls(reading.disease, probability, *ends)


@dataclass(frozen=True, slots=True)
class Answer:
    """How the query was understood, what is to be known of the hits, and the hits, best first.

    `readout` is what the model reads in an uploaded picture, likeliest first; empty where it was not calibrated.
    `query_row` is the row of the study that was asked by.
    """

    chips: ChipsJson
    mode: Mode
    notices: list[NoticeJson]
    hits: list[HitJson]
    more: bool
    readout: list[ReadingJson]
    query_row: int | None = None

    @classmethod
    def of(cls, result: SearchResult, *, query_row: int | None = None) -> Answer:
        """The wire form of a search result."""
        return cls(
            chips=ChipsJson.of(result.wanted),
            mode=result.mode,
            notices=[NoticeJson(code=n.code, text=n.text) for n in result.notices],
            hits=[HitJson.of(h) for h in result.hits],
            more=result.more,
            readout=[ReadingJson.of(r) for r in result.readout],
            query_row=query_row,
        )

    def json(self) -> bytes:
        """The answer as it goes over the wire."""
        return _ANSWERS.dump_json(self)


_ANSWERS = TypeAdapter(Answer)


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str


class PreviewJson(BaseModel):
    """An upload as the browser can show it, and as the model sees it (both PNG in base64).

    A search by `image` is the search by the upload.
    """

    width: int
    height: int
    preview: str
    image: str


class FilterJson(BaseModel):
    """A filter that the index offers: a field of `SearchRequest`, or a column of the studies table.

    `kind` is `choice` (of `values`), `text` or `date`; `many` says that the field takes a list.
    """

    name: str
    label: str
    kind: Literal["choice", "text", "date"]
    values: list[str] = []
    column: str = ""
    many: bool = False


class About(BaseModel):
    """What the page needs to know of the index. `vocabulary` lists the descriptors of each axis."""

    medtrim: str
    studies: int
    diseases: list[str]
    vocabulary: dict[str, list[str]]
    facts: dict[str, str]
    filters: list[FilterJson]
    viewer_url: str
    max_text: int
    max_upload: int


def offered_filters(index: StudyIndex) -> list[FilterJson]:
    """The filters for which the studies of `index` have something to choose."""
    dated = bool(index.facts["date_column"])
    found = [
        FilterJson(name="views", label="View", kind="choice", values=list(index.views), many=True),
        FilterJson(name="patient_id", label="Patient", kind="text"),
        *([FilterJson(name="since", label="From", kind="date")] if dated else []),
        *([FilterJson(name="until", label="Until", kind="date")] if dated else []),
        FilterJson(name="reports", label="Report", kind="choice", values=["read", "not read"]),
        *(
            FilterJson(
                name=f"column {name}",
                label=name,
                kind="choice",
                values=list(values_of(index.facts, f"column {name}")),
                column=name,
            )
            for name in index.columns
        ),
    ]
    return [f for f in found if f.values or f.kind != "choice"]


def _asked(chips: Iterable[Chip] | None) -> tuple[FindingQuery, ...] | None:
    return None if chips is None else tuple(chip.query() for chip in chips)


def _section(name: str, text: str, findings: tuple[Finding, ...]) -> SectionJson:
    parts = cut_report(text, name, findings)
    return SectionJson(title=name, parts=[PartJson(text=p.text, findings=list(p.findings)) for p in parts])


def _words(finding: Finding) -> str:
    return " ".join((*finding.adjectives, *finding.directions, finding.disease))
