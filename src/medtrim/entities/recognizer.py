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

    Examples:
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
        findings: list[Finding] = []
        read = False
        for section in ("findings", "impression"):
            found, told = self.read_text(getattr(study, section), section)
            findings += found
            read = read or told
        return Annotation(study.study_id, tuple(findings), read)

    def read_text(self, text: str, section: str = "findings") -> tuple[tuple[Finding, ...], bool]:
        """The findings of one section's text, and whether it was read (`Annotation`); offsets are into `text`."""
        units = self._units(text)
        return tuple(f for unit in units for f in self._findings(text, unit, section)), any(
            self._tells(text, unit) for unit in units
        )

    def annotate_text(self, text: str, section: str = "findings") -> tuple[Finding, ...]:
        """The findings of one section's text; offsets are into `text`."""
        return self.read_text(text, section)[0]

    def goes_on(self, sentence: str) -> bool:
        """Whether `sentence` is about the finding before it."""
        if len(sentence) > MAX_LOOSE:
            return False
        reading = self._reading(sentence)
        return reading.refers or reading.loose is not None

    def read_unit(self, unit: str) -> tuple[tuple[SentenceFinding, ...], bool]:
        """The findings of a sentence with those that go on about it (offsets into `unit`); whether it was read."""
        spans = split_sentences(unit)
        return (self._read_unit(unit, spans), self._tells(unit, spans)) if spans else ((), False)

    def _units(self, text: str) -> list[list[Span]]:
        """The pieces of `text` that are read on their own: sentences, each with those that go on about it."""
        units: list[list[Span]] = []
        for span in split_sentences(text):
            follows = bool(units) and len(units[-1]) <= self.max_joined
            if follows and self.goes_on(text[span.start : span.end]):
                units[-1].append(span)
            else:
                units.append([span])
        return units

    def _tells(self, text: str, unit: list[Span]) -> bool:
        return any(self._reading(text[span.start : span.end]).told for span in unit)

    def _findings(self, text: str, unit: list[Span], section: str) -> list[Finding]:
        begin = unit[0].start
        return [
            Finding(
                found.disease,
                found.assertion,
                found.adjectives,
                found.directions,
                tuple(
                    Mention(section, begin + p.start, begin + p.end, text[begin + p.start : begin + p.end], p.role)
                    for p in found.places
                ),
                found.change,
                found.size_mm,
            )
            for found in self._read_unit(text, unit)
        ]

    def _read_unit(self, text: str, unit: list[Span]) -> tuple[SentenceFinding, ...]:
        """The findings of the sentences `unit` of `text`; offsets are from where the first of them begins."""
        begin = unit[0].start
        if len(unit) == 1:
            return self._reading(text[begin : unit[0].end]).findings
        findings: list[SentenceFinding] = []
        for number, span in enumerate(unit):
            shift = span.start - begin
            reading = self._reading(text[span.start : span.end])
            before = findings[-1] if number and findings and findings[-1].assertion != "absent" else None
            if number and reading.loose is not None:
                if before is not None:
                    findings[-1] = self._joined(before, reading.loose, shift)
                continue
            for found in reading.findings:
                moved = replace(found, places=_moved(found.places, shift))
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
