"""OBER: a report in, findings out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from medtrim.entities.ontology import Ontology, load_ontology
from medtrim.entities.reader import DIFFERENTIAL, Place, SentenceFinding, SentenceReader, SentenceReading
from medtrim.entities.tokens import Span, split_sentences
from medtrim.types import Annotation, Finding, Mention, Study

# Radiology repeats itself: readings of distinct sentences are kept, the oldest dropped beyond this many.
CACHE_SIZE = 200_000
# "It is small. It is on the left.": at most so many sentences go on about one before them.
MAX_JOINED = 3
MAX_LOOSE = 200


class Recognizer:
    """Reads findings by an ontology.

    Args:
        ontology: from `load_ontology`; the default one where None.

    Example:
        >>> import medtrim
        >>> medtrim.Recognizer().annotate_text("Small left pleural effusion.")[0].directions
        ('left',)
    """

    def __init__(self, ontology: Ontology | None = None) -> None:
        self.ontology = ontology or load_ontology()
        self.reader = SentenceReader(self.ontology)
        self.max_joined = MAX_JOINED
        self._readings: OrderedDict[str, SentenceReading] = OrderedDict()

    def annotate(self, study: Study) -> Annotation:
        """The findings of a study's two sections, in order of appearance. Never raises on text."""
        return Annotation(
            study.study_id,
            self.annotate_text(study.findings, section="findings")
            + self.annotate_text(study.impression, section="impression"),
            any(self.is_read(text) for text in (study.findings, study.impression)),
        )

    def is_read(self, text: str) -> bool:
        """Whether a section names a finding beyond tubes, lines and surgery, or states that something is normal.

        >>> recognizer = Recognizer()
        >>> recognizer.is_read("The lungs are clear."), recognizer.is_read("Right PICC in place.")
        (True, False)
        """
        return any(self._reading(text[span.start : span.end]).told for span in split_sentences(text))

    def annotate_text(self, text: str, section: str = "findings") -> tuple[Finding, ...]:
        """The findings of one section's text; offsets are into `text`."""
        return tuple(
            Finding(
                found.disease,
                found.assertion,
                found.adjectives,
                found.directions,
                tuple(
                    Mention(section, span.start + p.start, span.start + p.end, _cut(text, span, p), p.role)
                    for p in found.places
                ),
                found.change,
                found.size_mm,
            )
            for span in self.units(text)
            for found in self.unit_findings(text[span.start : span.end])
        )

    def goes_on(self, sentence: str) -> bool:
        """Whether `sentence` is about the finding before it."""
        if len(sentence) > MAX_LOOSE:
            return False
        reading = self._reading(sentence)
        return reading.refers or reading.loose is not None

    def units(self, text: str) -> list[Span]:
        """The pieces of `text` that are read on their own: sentences, each with those that go on about it."""
        spans: list[Span] = []
        joined = 0
        for span in split_sentences(text):
            if spans and joined < self.max_joined and self.goes_on(text[span.start : span.end]):
                spans[-1] = Span(spans[-1].start, span.end)
                joined += 1
            else:
                spans.append(span)
                joined = 0
        return spans

    def unit_findings(self, unit: str) -> tuple[SentenceFinding, ...]:
        """The findings of a unit, offsets relative to it."""
        first, *rest = split_sentences(unit)
        if not rest:
            return self._reading(unit).findings
        findings = list(self._reading(unit[first.start : first.end]).findings)
        for span in rest:
            reading = self._reading(unit[span.start : span.end])
            before = findings[-1] if findings and findings[-1].assertion != "absent" else None
            if reading.loose is not None:
                if before is not None:
                    findings[-1] = self._joined(before, reading.loose, span.start)
                continue
            for found in reading.findings:
                moved = replace(found, places=_moved(found.places, span.start))
                findings.append(moved if before is None else self._placed(moved, before))
        return tuple(findings)

    def _placed(self, finding: SentenceFinding, before: SentenceFinding) -> SentenceFinding:
        """`finding` where the finding before it is, if it says no place of its own and is not denied."""
        shares = self.ontology.concepts[finding.disease.removeprefix(DIFFERENTIAL)].shares
        kinds = {d: self.ontology.descriptors[d].kind for d in before.directions}
        directions = tuple(d for d in before.directions if kinds[d] in shares)
        if finding.directions or finding.assertion == "absent" or not directions:
            return finding
        places = tuple(p for p in before.places if p.role == "direction")
        return replace(finding, directions=directions, places=places + finding.places)

    def _joined(self, finding: SentenceFinding, loose: SentenceFinding, shift: int) -> SentenceFinding:
        takes = self.ontology.concepts[finding.disease.removeprefix(DIFFERENTIAL)].takes
        kinds = {d: self.ontology.descriptors[d].kind for d in loose.directions}
        directions = [d for d in loose.directions if kinds[d] in takes or (takes and kinds[d] == "place")]
        places = _moved(tuple(p for p in loose.places if p.role != "direction" or directions), shift)
        return replace(
            finding,
            assertion="absent" if loose.assertion == "absent" else finding.assertion,
            change=loose.change or finding.change,
            adjectives=tuple(sorted({*finding.adjectives, *loose.adjectives})),
            directions=tuple(sorted({*finding.directions, *directions})),
            places=finding.places + places,
        )

    def _reading(self, sentence: str) -> SentenceReading:
        found = self._readings.get(sentence)
        if found is None:
            found = self._readings[sentence] = self.reader.read(sentence)
            if len(self._readings) > CACHE_SIZE:
                self._readings.popitem(last=False)
        return found


def _moved(places: tuple[Place, ...], shift: int) -> tuple[Place, ...]:
    return tuple(Place(p.start + shift, p.end + shift, p.role) for p in places)


def _cut(text: str, span: Span, place: Place) -> str:
    return text[span.start + place.start : span.start + place.end]
