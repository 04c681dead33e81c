"""What goes over the wire: the server's requests and answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from medtrim.evaluation.agreement import FindingMark, unmarked
from medtrim.search.filters import Filters
from medtrim.search.searcher import Hit, SearchResult
from medtrim.search.store import Side

MAX_TEXT = 4000
"""Longest query text in characters; a long report has about 2,000."""


class Options(BaseModel):
    """What every kind of query may ask for."""

    model_config = ConfigDict(extra="forbid")

    against: Side = "image"
    k: int = Field(default=12, ge=1, le=100)
    disease: str = Field(default="", max_length=100)
    side: Literal["", "left", "right"] = ""

    @property
    def filters(self) -> Filters:
        """The query's filters."""
        return Filters(self.disease, self.side)


class TextQuery(Options):
    """Studies like a text."""

    text: str = Field(min_length=1, max_length=MAX_TEXT)


class StudyQuery(Options):
    """Studies like one of the index."""

    study_id: str = Field(min_length=1, max_length=200)
    using: Side = "image"


class DescriptorJson(BaseModel):
    """A descriptor and how it stands to the query."""

    text: str
    verdict: str


class MarkJson(BaseModel):
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


class HitJson(BaseModel):
    """A found study."""

    study_id: str
    row: int
    similarity: float
    marks: list[MarkJson]
    missing: list[str]
    conflicts: list[str]
    findings: str
    impression: str
    has_image: bool

    @classmethod
    def of(cls, hit: Hit) -> HitJson:
        """The wire form of a hit."""
        return cls(
            study_id=hit.study.study_id,
            row=hit.study.row,
            similarity=round(hit.similarity, 6),
            marks=[MarkJson.of(m) for m in hit.agreement.marks],
            missing=list(hit.agreement.missing),
            conflicts=list(hit.agreement.conflicts),
            findings=hit.study.report_findings,
            impression=hit.study.report_impression,
            has_image=hit.study.has_thumbnail,
        )


class Answer(BaseModel):
    """What the query says, as the recogniser reads it, and the studies found, best first."""

    query: list[MarkJson]
    hits: list[HitJson]

    @classmethod
    def of(cls, result: SearchResult) -> Answer:
        """The wire form of a search result."""
        said = unmarked(result.findings) if result.findings else ()
        return cls(query=[MarkJson.of(m) for m in said], hits=[HitJson.of(h) for h in result.hits])


class About(BaseModel):
    """What the page needs to know of the index."""

    medtrim: str
    studies: int
    diseases: list[str]
    max_text: int
    max_upload: int
